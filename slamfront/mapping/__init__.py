"""Local mapping: keyframes, landmarks, and how a map begins."""
