"""The pages, one for each step of the work: each puts components side by side."""
