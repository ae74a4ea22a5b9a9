"""Search of displayed images in the memory of the server, as fast as a hand moves."""
