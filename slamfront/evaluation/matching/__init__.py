"""How good keypoints and matches are, on pairs of images whose true relation is known, and reports of it."""
