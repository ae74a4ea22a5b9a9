"""Training of models on patches in memory."""
