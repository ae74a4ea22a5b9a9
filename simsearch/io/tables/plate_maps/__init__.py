"""Plate maps: wells, drugs, doses, units and controls, as people write them."""
