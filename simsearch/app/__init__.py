"""The browser app: draws the state of a study, and turns what people do into actions."""
