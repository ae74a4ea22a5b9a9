"""What a person has said about a set of images: values, the actions that change them, and their journal on disk."""
