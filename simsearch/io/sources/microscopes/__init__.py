"""Microscopes' own files and DICOM slides, through the libraries that know them."""
