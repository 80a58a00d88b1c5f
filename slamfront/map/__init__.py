"""The keyframe map: landmarks in arrays, keyframes, observations, covisibility. One thread owns it."""

from __future__ import annotations

from slamfront.map.keyframe_map import KeyframeMap, KeyframeRecord
from slamfront.map.landmarks import Landmarks

__all__ = ["KeyframeMap", "KeyframeRecord", "Landmarks"]
