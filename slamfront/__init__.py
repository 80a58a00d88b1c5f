"""A real-time visual odometry and SLAM front end with learned features."""

from __future__ import annotations

__all__ = ["__version__"]
__version__ = "0.1.0"
