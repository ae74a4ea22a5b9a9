"""How right results are: against truth, by judged places, and by a random sample of them."""
