"""One port: who may come in, and what is answered: pages, pictures, downloads."""
