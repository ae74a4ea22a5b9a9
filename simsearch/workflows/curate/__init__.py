"""What people say about images: studies, suggestions, and the way in and out for tables."""
