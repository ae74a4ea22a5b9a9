"""A study that a server has open: what people do to it, what follows from that, and what takes long."""
