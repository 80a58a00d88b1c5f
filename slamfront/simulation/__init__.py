"""A textured 3D world rendered with exact depth and pose, for tests, the demo and training."""

from __future__ import annotations

from slamfront.simulation.effects import Effects
from slamfront.simulation.faults import Faults
from slamfront.simulation.options import SceneOptions
from slamfront.simulation.render import Renderer, View
from slamfront.simulation.scenes import Scene, sample_scene, scene, scene_names
from slamfront.simulation.textures import Painter
from slamfront.simulation.world import Mover, Quad, World

__all__ = [
    "Effects",
    "Faults",
    "Mover",
    "Painter",
    "Quad",
    "Renderer",
    "Scene",
    "SceneOptions",
    "View",
    "World",
    "sample_scene",
    "scene",
    "scene_names",
]
