"""Training: synthetic shapes, labels, data, losses and recipes of the networks."""
