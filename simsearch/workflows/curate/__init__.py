"""What people say about images: studies, live searches, suggestions."""
