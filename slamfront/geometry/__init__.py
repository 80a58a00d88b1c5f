"""Poses, cameras, epipolar geometry, alignment, and choosing pixels that cover an image: numpy only, no state."""
