"""Plates: their hierarchy of wells and fields, and grids of numbers for their wells."""
