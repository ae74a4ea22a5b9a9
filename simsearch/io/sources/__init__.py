"""Images as instruments and other tools write them, and which files make a plate."""
