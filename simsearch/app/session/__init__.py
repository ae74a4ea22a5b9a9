"""One study, open in one server: what people do, what follows from it, and what takes long."""
