"""DeDoDe: one network that detects and another that describes (Edstedt et al., "DeDoDe: Detect, Don't Describe;
Describe, Don't Detect for Local Feature Matching", 3DV 2024; v2, 2024; DaD, 2025).

layers: encoder and refiners. networks: detector and descriptor, with the layouts of their authors' files. sampling:
from logits to keypoints, and from the description grid to descriptors.
"""
