"""Which files make a plate: layouts of microscopes, what they write beside images, LoadData tables."""
