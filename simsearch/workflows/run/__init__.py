"""A model over plates and slides, and what comes of it: detections, objects, wells, areas."""
