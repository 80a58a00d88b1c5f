"""Path tracing by Mitsuba 3 (Jakob et al., 2022): images, and depth by casting one ray through each pixel's centre."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from slamfront.errors import SourceError
from slamfront.geometry.camera import Camera
from slamfront.geometry.pose import Pose
from slamfront.simulation.traced.bodies import Piece
from slamfront.simulation.traced.meshes import Mesh, joined
from slamfront.simulation.traced.smoothing import seen_surfaces, smoothed_light
from slamfront.simulation.traced.surfaces import Finish, Surface
from slamfront.simulation.traced.worlds import TracedWorld
from slamfront.types import Float32Array

_GAMMA = 2.2
_VARIANT = "llvm_ad_mono"
# Bounces of light; what is missing beyond brightens dark corners only.
_BOUNCES = 4
_SURE_BOUNCES = 3  # beyond these, dim paths may end by chance
_DARKEST = 0.004
_ROUGHNESS: dict[Finish, float] = {"satin": 0.3, "gloss": 0.1, "metal": 0.25}


@dataclass(frozen=True)
class Lens:
    """A lens that is sharp at one distance; without an aperture it is sharp everywhere."""

    aperture_m: float = 0.0
    focus_m: float = 2.0


class Tracer:
    """A world, ready to be seen. Raises SourceError where Mitsuba, or the LLVM library that it needs, is missing."""

    def __init__(self, world: TracedWorld, threads: int = 1) -> None:
        self._mitsuba = _mitsuba(threads)
        self._scene = self._mitsuba.load_dict(self._described(world), optimize=False)

    def radiance(
        self,
        world_from_camera: Pose,
        camera: Camera,
        samples: int,
        seed: int,
        lens: Lens = Lens(),
    ) -> Float32Array:
        """Return the light (H,W) that comes in at each pixel of a pinhole camera, linear, of `samples` paths each.

        Surfaces' own pictures are seen by many more rays than light is followed by, and light is smoothed over each of
        the smooth surfaces.
        """
        mi = self._mitsuba
        sensor = mi.load_dict(_sensor(mi, world_from_camera, camera, lens))
        light = np.array(mi.render(self._scene, sensor=sensor, spp=samples, seed=seed), np.float32)[..., 0]
        guides = seen_surfaces(mi, self._scene, sensor, (camera.width, camera.height), seed)
        # What glows has its picture in its reflectance, and shines evenly.
        divisor = np.maximum(guides.reflectance * (1 - guides.glowing) + guides.glowing, _DARKEST)
        even = smoothed_light(light / divisor, guides)
        return np.asarray(even * np.maximum(guides.reflectance, _DARKEST), np.float32)

    def inverse_depth(self, world_from_camera: Pose, camera: Camera) -> Float32Array:
        """Return one over the depth (H,W) along z at the pixels' centres, 1/m; 0 where there is nothing."""
        found = self._scene.ray_intersect_preliminary(self._centre_rays(world_from_camera, camera))
        depth = np.where(np.array(found.is_valid()), np.array(found.t), np.inf)
        return (1 / depth).astype(np.float32).reshape(camera.height, camera.width)

    def reflectance(self, world_from_camera: Pose, camera: Camera) -> Float32Array:
        """Return the share of light (H,W) that surfaces reflect at the pixels' centres; 0 where there is nothing."""
        met = self._scene.ray_intersect(self._centre_rays(world_from_camera, camera))
        shares = met.bsdf().eval_diffuse_reflectance(met, met.is_valid())[0]
        return np.array(shares, np.float32).reshape(camera.height, camera.width)

    def _centre_rays(self, world_from_camera: Pose, camera: Camera) -> Any:
        mi = self._mitsuba
        rows, columns = np.mgrid[: camera.height, : camera.width]
        pixels = np.stack([columns.ravel(), rows.ravel()], axis=-1).astype(np.float64)
        directions = camera.unproject(pixels) @ world_from_camera.rotation.T  # of unit depth, not of unit length
        origin = [float(value) for value in world_from_camera.translation_m]
        return mi.Ray3f(mi.Point3f(*origin), mi.Vector3f(*(mi.Float(np.float32(axis)) for axis in directions.T)))

    def _described(self, world: TracedWorld) -> dict[str, Any]:
        mi = self._mitsuba
        described: dict[str, Any] = {
            "type": "scene", "integrator": {"type": "path", "max_depth": _BOUNCES + 1, "rr_depth": _SURE_BOUNCES}
        }  # fmt: skip
        for number, (surface, mesh) in enumerate(_by_surface(world.pieces)):
            properties = mi.Properties()
            if surface.glow > 0:
                power = surface.glow * _area(mesh)
                even = {"type": "uniform", "value": surface.glow}
                properties["emitter"] = mi.load_dict({"type": "area", "radiance": even, "sampling_weight": power**0.5})
                properties["bsdf"] = mi.load_dict({"type": "diffuse", "reflectance": _bitmap(mi, surface)})
            else:
                properties["bsdf"] = mi.load_dict({"type": "twosided", "bsdf": _reflection(mi, surface)})
            described[f"body{number}"] = _mesh(mi, f"body{number}", surface, mesh, properties)
        return described


def _by_surface(pieces: tuple[Piece, ...]) -> list[tuple[Surface, Mesh]]:
    """Return all bodies of each surface as one: as few of them as possible are what tracing is fastest with."""
    groups: dict[int, tuple[Surface, list[Mesh]]] = {}
    for piece in pieces:
        groups.setdefault(id(piece.surface), (piece.surface, []))[1].append(piece.mesh)
    return [(surface, joined(meshes)) for surface, meshes in groups.values()]


def _mesh(mi: Any, name: str, surface: Surface, mesh: Mesh, properties: Any) -> Any:
    body = mi.Mesh(
        name,
        len(mesh.vertices_m),
        len(mesh.faces),
        has_vertex_normals=True,
        has_vertex_texcoords=True,
        props=properties,
    )
    parameters = mi.traverse(body)
    parameters["vertex_positions"] = mesh.vertices_m.astype(np.float32).ravel()
    parameters["vertex_normals"] = mesh.normals.astype(np.float32).ravel()
    uv = mesh.uv_m / surface.size_m
    parameters["vertex_texcoords"] = np.column_stack([uv[:, 0], 1 - uv[:, 1]]).astype(np.float32).ravel()
    parameters["faces"] = mesh.faces.astype(np.uint32).ravel()
    parameters.update()
    return body


def _reflection(mi: Any, surface: Surface) -> dict[str, Any]:
    colour = _bitmap(mi, surface)
    if surface.finish == "matt":
        return {"type": "diffuse", "reflectance": colour}
    alpha = _ROUGHNESS[surface.finish]
    if surface.finish == "metal":
        return {"type": "roughconductor", "material": "none", "alpha": alpha, "specular_reflectance": colour}
    return {"type": "roughplastic", "alpha": alpha, "diffuse_reflectance": colour}


def _bitmap(mi: Any, surface: Surface) -> dict[str, Any]:
    linear = (surface.picture[..., None].astype(np.float32) / 255) ** _GAMMA
    return {"type": "bitmap", "bitmap": mi.Bitmap(np.ascontiguousarray(linear)), "raw": True, "wrap_mode": "mirror"}


def _sensor(mi: Any, world_from_camera: Pose, camera: Camera, lens: Lens) -> dict[str, Any]:
    # Mitsuba's cameras have x to the left and y up.
    matrix = world_from_camera.matrix() @ np.diag([-1.0, -1.0, 1.0, 1.0])
    sensor = {
        "type": "perspective", "to_world": mi.ScalarTransform4f(matrix), "fov_axis": "x",
        "fov": float(np.degrees(2 * np.arctan(camera.width / 2 / camera.fx))), "near_clip": 0.01, "far_clip": 1e4,
        "principal_point_offset_x": (camera.cx + 0.5) / camera.width - 0.5,
        "principal_point_offset_y": (camera.cy + 0.5) / camera.height - 0.5,
        "film": {"type": "hdrfilm", "width": camera.width, "height": camera.height, "pixel_format": "luminance",
                 "component_format": "float32", "rfilter": {"type": "gaussian"}},
        "sampler": {"type": "independent"},
    }  # fmt: skip
    if lens.aperture_m > 0:
        sensor |= {"type": "thinlens", "aperture_radius": lens.aperture_m, "focus_distance": lens.focus_m}
        del sensor["principal_point_offset_x"], sensor["principal_point_offset_y"]  # a lens has it in the middle
    return sensor


def _area(mesh: Mesh) -> float:
    corners = mesh.vertices_m[mesh.faces]
    crossed = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return float(np.linalg.norm(crossed, axis=1).sum() / 2)


def _mitsuba(threads: int) -> Any:
    """Return the module, set to grey light and so many threads."""
    try:
        import drjit
        import mitsuba
    except ImportError as error:
        raise SourceError("path tracing needs Mitsuba 3: pip install 'slamfront[render]'") from error
    if mitsuba.variant() != _VARIANT:
        try:
            mitsuba.set_variant(_VARIANT)
            drjit.llvm.Float(0.0) + 1  # loads the library
        except (RuntimeError, ImportError) as error:
            raise SourceError("Mitsuba needs the LLVM library: apt-get install libllvm19, or any other") from error
        mitsuba.set_log_level(mitsuba.LogLevel.Warn)
    drjit.set_thread_count(threads)
    return mitsuba
