"""Parts of pages: each draws a piece of the state, and takes what a person does there."""
