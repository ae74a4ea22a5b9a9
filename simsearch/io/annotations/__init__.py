"""Annotations that other programs have written: QuPath, ImageScope, NDP.view, ASAP, ImageJ, label images."""
