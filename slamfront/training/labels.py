"""Keypoint labels, under the name by which programs import them."""

from __future__ import annotations

from slamfront.training.data.labels import load_labels

__all__ = ["load_labels"]
