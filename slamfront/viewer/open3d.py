"""The live windows, drawn by Open3D on the main thread: the map, and beside it a panel with the image and its tracks.

Keys: space pauses and goes on, N takes one frame, F follows the camera or lets go, Q or Escape closes. Turning the map
with the mouse lets go of the camera as well. Open3D's older visualiser is used: it needs no more than OpenGL and its
memory stays flat, whereas the newer GUI ends the whole process where there is no Vulkan driver.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from slamfront.errors import ViewerError
from slamfront.types import FloatArray, Snapshot
from slamfront.viewer.controls import Controls
from slamfront.viewer.picture import draw_panel
from slamfront.viewer.rate import Rate
from slamfront.viewer.scene import BACKGROUND, Follower, Lines, Scene, Viewpoint, build_scene

SYSTEM_PACKAGES = ("libegl1", "libgl1", "libgomp1", "libusb-1.0-0", "libx11-6")
"""Debian and Ubuntu packages that Open3D needs."""

_MAP_SIZE = (1080, 810)
_PANEL_WIDTH = 440
_NEAR, _FAR = 0.01, 100.0  # in units of the scene's scale
_LINE_SPREAD = 0.0025  # distance between the strands of a thick line, in units of the scene's scale
_ESCAPE = 256  # GLFW's code; letters and the space bar are their own


def load_open3d() -> ModuleType:
    """Import Open3D and return it; ViewerError naming what is missing: the package itself, or system packages."""
    try:
        import open3d
    except ModuleNotFoundError as error:
        if error.name != "open3d":
            raise ViewerError(f"Open3D does not load: it misses {error.name}") from error
        raise ViewerError("Open3D is not installed: pip install open3d") from error
    except (ImportError, OSError) as error:
        raise ViewerError(
            f"Open3D does not load ({error}); on Debian or Ubuntu run: apt-get install {' '.join(SYSTEM_PACKAGES)}"
        ) from error
    return open3d  # type: ignore[no-any-return,unused-ignore]


def check_display() -> None:
    """Raise ViewerError on Linux when there is no display to open a window on."""
    if not sys.platform.startswith("linux") or os.environ.get("WAYLAND_DISPLAY"):
        return
    if not os.environ.get("DISPLAY"):
        raise ViewerError("there is no display to open a window on ($DISPLAY is not set); recording works without one")
    if not _x_server_answers():  # Open3D would draw into a window that nobody sees
        raise ViewerError(f"the display {os.environ['DISPLAY']} does not answer; recording works without one")


def _x_server_answers() -> bool:
    try:
        x11 = ctypes.CDLL("libX11.so.6")
    except OSError:
        return True  # Open3D needs this library as well, and its error names the package
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XCloseDisplay.argtypes = [ctypes.c_void_p]
    display = x11.XOpenDisplay(None)
    if display is None:
        return False
    x11.XCloseDisplay(display)
    return True


class Window:
    """Shows the map, the keyframes, the path and the current camera, and a panel with the image and its tracks.

    Make it and call it on the main thread; the thread that takes frames waits at `controls`. Raises ViewerError where
    there is no display, or Open3D cannot use it.
    """

    def __init__(self, controls: Controls | None = None, title: str = "slamfront") -> None:
        check_display()
        self.controls = controls or Controls()
        self._o3d = load_open3d()
        self._follower, self._rate = Follower(calmness=0.8), Rate()
        self._frames_per_s: float | None = None
        self._last: Snapshot | None = None
        self._panel_state: tuple[Any, ...] = ()
        self._following = self._open = True
        self._seen_from: FloatArray | None = None
        self._drawn: set[str] = set()
        self._points, self._lines = self._o3d.geometry.PointCloud(), self._o3d.geometry.LineSet()
        self._map = self._open_window(title, *_MAP_SIZE, left=40)
        self._panel: Any = None
        options = self._map.get_render_option()
        options.background_color = np.array(BACKGROUND) / 255.0
        options.point_size, options.light_on = 3.0, False

    def show(self, snapshot: Snapshot) -> bool:
        """Draw a snapshot and handle keys and mouse; False once a window was closed.

        Called with the last snapshot again, it keeps the windows alive.
        """
        if not self._open:
            return False
        if snapshot is not self._last:
            self._draw_map(snapshot)
            self._frames_per_s = self._rate.count(snapshot.frame_id)
            self._last = snapshot
        self._draw_panel(snapshot)
        for window in (self._map, self._panel):
            self._open = window.poll_events() and self._open
            window.update_renderer()
        self._let_go_when_turned()
        if not self._open:
            self._destroy()
        return self._open

    def close(self) -> None:
        """Close the windows; a second call does nothing."""
        if self._open:
            self._open = False
            self._destroy()

    def _open_window(self, title: str, width: int, height: int, left: int) -> Any:
        window = self._o3d.visualization.VisualizerWithKeyCallback()
        if not window.create_window(title, width, height, left, 60):
            raise ViewerError("Open3D cannot open a window: the display is not reachable, or has no OpenGL 3.3")
        actions: dict[int, Callable[[], None]] = {
            ord(" "): lambda: self.controls.pause(not self.controls.paused),
            ord("N"): self.controls.step,
            ord("F"): lambda: self._follow(not self._following),
            ord("Q"): self._ask_to_close,
            _ESCAPE: self._ask_to_close,
        }
        for key, action in actions.items():
            window.register_key_callback(key, lambda _window, action=action: bool(action()))
        return window

    def _draw_map(self, snapshot: Snapshot) -> None:
        scene = build_scene(snapshot)
        viewpoint = self._follower.look(snapshot, scene)
        self._fill(scene)
        for name, geometry in (("lines", self._lines), ("points", self._points)):
            if name in self._drawn:
                self._map.update_geometry(geometry)
            elif geometry.has_points():  # Open3D complains about empty ones
                self._map.add_geometry(geometry)
                self._drawn.add(name)
        control = self._map.get_view_control()
        control.set_constant_z_near(_NEAR * scene.scale_m)
        control.set_constant_z_far(_FAR * scene.scale_m)
        if self._following:
            self._look_from(viewpoint)

    def _fill(self, scene: Scene) -> None:
        """Put a scene's points and lines into the geometries of the map."""
        self._points.points = self._vectors(scene.points_m)
        self._points.colors = self._vectors(scene.colours / 255.0)
        strands = [strand for lines in (scene.ground, *scene.lines) for strand in _strands(lines, scene.scale_m)]
        segments = np.concatenate([strand.segments_m for strand in strands])
        self._lines.points = self._vectors(segments.reshape(-1, 3))
        pairs = np.arange(2 * len(segments), dtype=np.int32).reshape(-1, 2)
        self._lines.lines = self._o3d.utility.Vector2iVector(pairs)
        self._lines.colors = self._vectors(np.concatenate([strand.colours for strand in strands]) / 255.0)

    def _vectors(self, rows: Any) -> Any:
        return self._o3d.utility.Vector3dVector(np.ascontiguousarray(rows, np.float64))

    def _look_from(self, viewpoint: Viewpoint) -> None:
        control = self._map.get_view_control()
        parameters = control.convert_to_pinhole_camera_parameters()
        parameters.extrinsic = viewpoint.world_from_view().inverse().matrix()
        control.convert_from_pinhole_camera_parameters(parameters, True)
        self._seen_from = np.array(control.convert_to_pinhole_camera_parameters().extrinsic)

    def _let_go_when_turned(self) -> None:
        """Stop following when the view is no longer where `_look_from` has put it."""
        if self._following and self._seen_from is not None:
            extrinsic = self._map.get_view_control().convert_to_pinhole_camera_parameters().extrinsic
            if np.abs(extrinsic - self._seen_from).max() > 1e-6 * max(1.0, float(np.abs(self._seen_from).max())):
                self._follow(False)

    def _draw_panel(self, snapshot: Snapshot) -> None:
        state = (snapshot, self.controls.paused, self._following)
        if self._panel is not None and state == self._panel_state:
            return
        self._panel_state = state
        rgb = draw_panel(snapshot, _PANEL_WIDTH, self._frames_per_s, self.controls.paused, self._following)
        picture = self._o3d.geometry.Image(rgb)
        if self._panel is None:
            self._panel = self._open_window("camera", rgb.shape[1], rgb.shape[0], left=60 + _MAP_SIZE[0])
        self._panel.clear_geometries()
        self._panel.add_geometry(picture)

    def _follow(self, following: bool) -> None:
        self._following = following
        if following and self._last is not None:
            self._look_from(self._follower.look(self._last, build_scene(self._last)))

    def _ask_to_close(self) -> None:
        self._open = False

    def _destroy(self) -> None:
        self.controls.release()
        for window in (self._map, self._panel):
            if window is not None:
                window.destroy_window()


def _strands(lines: Lines, scale_m: float) -> list[Lines]:
    """Return copies of thick lines side by side: OpenGL's core profile draws every line one pixel wide."""
    if lines.width_px == 1:
        return [lines]
    steps = _LINE_SPREAD * scale_m * np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
    return [Lines(lines.segments_m + step, lines.colours, 1) for step in steps]
