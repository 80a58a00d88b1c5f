"""What is learned from: photographs, drawn shapes, rendered worlds, features of pairs, and their files."""
