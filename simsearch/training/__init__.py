"""Training on tensors in memory: of models on patches, of trunks on crops."""
