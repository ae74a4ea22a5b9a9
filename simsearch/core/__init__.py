"""Arithmetic of search: pure functions over numpy arrays and small values."""
