"""Adapters from two sets of features to `Matches`."""
