"""What would go wrong in a long run, found before it: facts are gathered, and each check is a function of them."""
