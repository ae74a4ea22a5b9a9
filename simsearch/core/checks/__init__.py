"""What comes from outside is checked before it is believed: names, places, options, JSON, formats."""
