"""A run as one page to read, print and send: what was done, in words for a paper, and what came out."""
