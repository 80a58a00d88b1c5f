"""Adapters from an image to `Features`."""
