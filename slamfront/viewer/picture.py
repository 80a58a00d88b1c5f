"""One picture of a run: the map, the camera image with its tracks, and a status line."""

from __future__ import annotations

import functools
import textwrap
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from slamfront.errors import OutputError
from slamfront.types import Float32Array, Image, Snapshot, State
from slamfront.viewer.render import render
from slamfront.viewer.scene import STATE_COLOURS, Colour, Follower, build_scene, image_rgb
from slamfront.writing import write_atomically

PICTURE_SIZE = (1280, 720)

_MARGIN_PX = 20
_BAR_PX = 44
_ROW_PX = 28
_LETTER_PX = 9.0
_REASON_ROWS = 3
PANEL: Colour = (22, 27, 38)
BRIGHT: Colour = (236, 240, 248)
DIM: Colour = (132, 144, 166)
_INSET_SHARE = (0.47, 0.42)  # of the picture's width and height, at most
_TRACK: Colour = (64, 224, 208)


def compose(snapshot: Snapshot, follower: Follower, frames_per_s: float | None = None) -> Image:
    """Return the RGB picture (720,1280,3) of a snapshot as seen by `follower`."""
    width, height = PICTURE_SIZE
    scene = build_scene(snapshot)
    map_height = height - _BAR_PX
    view = render(scene, follower.look(snapshot, scene), width, map_height, (0.42 * width, 0.58 * map_height))
    _inset(view, snapshot)
    if snapshot.reason:
        _caption(view, snapshot)
    return np.vstack([view, _status_bar(snapshot, frames_per_s)])


def picture(snapshot: Snapshot, path: Path) -> None:
    """Write one still of a snapshot as a PNG file; OutputError when it cannot be written."""
    write_png(path, compose(snapshot, Follower()))


def write_png(path: Path, rgb: Image) -> None:
    """Write an RGB picture (H,W,3) as a PNG file that is either complete or not there; raises OutputError."""
    done, data = cv2.imencode(".png", rgb[:, :, ::-1])
    if not done:
        raise OutputError(f"cannot encode {path} as PNG")
    write_atomically(path, data.tobytes())


def draw_tracks(image: Image, tracks_xy: Float32Array, width: int) -> Image:
    """Return an image (H,W[,3]) as RGB resampled to `width` px, with the tracked keypoints (N,2) marked."""
    scale = width / image.shape[1]
    size = (width, max(1, round(image.shape[0] * scale)))
    canvas = cv2.resize(image_rgb(image), size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas = (canvas * 0.82).astype(np.uint8)  # a little darker, so that the marks stand out
    finite = tracks_xy[np.isfinite(tracks_xy).all(axis=1)]
    bits = 3
    for x, y in np.round(((finite + 0.5) * scale - 0.5) * (1 << bits)).astype(int).tolist():
        cv2.circle(canvas, (x, y), 3 << bits, _TRACK, 1, cv2.LINE_AA, bits)
    return canvas


def draw_panel(
    snapshot: Snapshot, width: int, frames_per_s: float | None, paused: bool = False, following: bool = True
) -> Image:
    """Return the RGB panel (H,width,3) beside a map: the image with its tracks, the figures, and the keys."""
    image = draw_tracks(snapshot.image, snapshot.tracks_xy, width)
    names = [("state", snapshot.state.value), *status(snapshot, frames_per_s or 0.0)]
    keys = [
        ("space", "go on" if paused else "pause"),
        ("N", "take one frame"),
        ("F", "let go of the camera" if following else "follow the camera"),
        ("Q", "close"),
    ]
    told = textwrap.wrap(snapshot.reason, max(8, int(0.62 * width / _LETTER_PX)))[:_REASON_ROWS]
    # As many rows with a reason as without, so that nothing jumps
    reasons = [("why" if row == 0 and told else "", line) for row, line in enumerate([*told, *[""] * _REASON_ROWS])]
    rows = [*names, *reasons[:_REASON_ROWS], ("", ""), *keys]
    canvas = PillowImage.new("RGB", (width, len(rows) * _ROW_PX + 2 * _MARGIN_PX), PANEL)
    draw, font = ImageDraw.Draw(canvas), _font()
    for number, (name, value) in enumerate(rows):
        middle = _MARGIN_PX + (number + 0.5) * _ROW_PX
        colour = STATE_COLOURS[snapshot.state] if name == "state" else BRIGHT
        draw.text((_MARGIN_PX, middle), name, DIM, font, anchor="lm")
        draw.text((_MARGIN_PX + 0.3 * width, middle), value, colour, font, anchor="lm")
    return np.vstack([image, np.asarray(canvas)])


def status(snapshot: Snapshot, frames_per_s: float | None = None) -> list[tuple[str, str]]:
    """Return the figures of the status line as (name, value)."""
    figures = [
        ("frame", f"{snapshot.frame_id}"),
        ("keyframes", f"{len(snapshot.keyframe_poses)}"),
        ("landmarks", f"{len(snapshot.landmarks_m):,}"),
        ("tracks", f"{len(snapshot.tracks_xy)}"),
    ]
    return figures if frames_per_s is None else [*figures, ("fps", f"{frames_per_s:.0f}")]


def _inset(picture: Image, snapshot: Snapshot) -> None:
    """Lay the camera image into the upper right corner, framed in the colour of the state."""
    image_height, image_width = snapshot.image.shape[:2]
    height, width = picture.shape[:2]
    scale = min(_INSET_SHARE[0] * width / image_width, _INSET_SHARE[1] * height / image_height)
    inset = draw_tracks(snapshot.image, snapshot.tracks_xy, max(1, round(image_width * scale)))
    top, left = _MARGIN_PX, width - _MARGIN_PX - inset.shape[1]
    picture[top : top + inset.shape[0], left : left + inset.shape[1]] = inset
    corner = (left + inset.shape[1], top + inset.shape[0])
    cv2.rectangle(picture, (left - 1, top - 1), corner, STATE_COLOURS[snapshot.state], 2, cv2.LINE_AA)


def _caption(picture: Image, snapshot: Snapshot) -> None:
    """Write why the frame has no pose, or what was unusual, into the lower left corner."""
    canvas = PillowImage.fromarray(picture)
    draw, lines = ImageDraw.Draw(canvas), textwrap.wrap(snapshot.reason, int(0.9 * PICTURE_SIZE[0] / _LETTER_PX))
    place = (_MARGIN_PX, picture.shape[0] - _MARGIN_PX)
    draw.text(place, "\n".join(lines[-_REASON_ROWS:]), STATE_COLOURS[snapshot.state], _font(), anchor="ld")
    picture[:] = np.asarray(canvas)


def _status_bar(snapshot: Snapshot, frames_per_s: float | None) -> Image:
    """Return the bar (44,1280,3) below the map; each figure has its place, so that nothing jumps."""
    canvas = PillowImage.new("RGB", (PICTURE_SIZE[0], _BAR_PX), PANEL)
    draw, font = ImageDraw.Draw(canvas), _font()
    middle, x = _BAR_PX // 2, float(_MARGIN_PX)
    colour = STATE_COLOURS[snapshot.state]
    draw.ellipse((x, middle - 6, x + 12, middle + 6), fill=colour)
    draw.text((x + 22, middle), snapshot.state.value, colour, font, anchor="lm")
    x += 22 + font.getlength(max((state.value for state in State), key=len)) + 36
    for name, value in status(snapshot, frames_per_s):
        draw.text((x, middle), name, DIM, font, anchor="lm")
        x += font.getlength(name) + 8
        draw.text((x, middle), value, BRIGHT, font, anchor="lm")
        x += font.getlength("0" * max(len(value), 5)) + 24
    draw.text((PICTURE_SIZE[0] - _MARGIN_PX, middle), "slamfront", DIM, font, anchor="rm")
    return np.asarray(canvas)


@functools.cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(18)
