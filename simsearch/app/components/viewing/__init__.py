"""What is shown on images, and where one looks: the viewer, its figure, and the scene that it draws."""
