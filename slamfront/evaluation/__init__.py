"""How good a trajectory, a set of keypoints or a set of matches is, and reports of it."""
