"""Parts of pages: each draws a piece of the state (root, update), and emits what a person does."""
