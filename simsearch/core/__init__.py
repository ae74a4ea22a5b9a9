"""Arithmetic: pure functions over numpy arrays and small values, without files and networks."""
