"""Poses, cameras, epipolar geometry and alignment: numpy only, no state."""
