"""The front end: from a frame to a pose and a keyframe map, as named policies."""
