"""What workers do: each task reads its own pixels and gives back little."""
