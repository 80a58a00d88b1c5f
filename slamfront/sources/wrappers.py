"""Sources that wrap a source: a part of its frames, other sizes, reading ahead."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from slamfront.errors import ConfigError
from slamfront.geometry.camera import Camera
from slamfront.protocols import Source
from slamfront.runtime import Channel, Worker
from slamfront.sources.recording import Recording
from slamfront.types import BoolArray, Frame, Sensor, Trajectory

# A share of one, but for rounding
_WHOLLY = 0.999


class Wrapper:
    """A source that hands on everything of another one; the base of those that change a part of it."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def name(self) -> str:
        """The wrapped source's name."""
        return self._source.name

    @property
    def camera(self) -> Camera:
        """Calibration of the frames."""
        return self._source.camera

    @property
    def sensor(self) -> Sensor:
        """What the frames carry."""
        return self._source.sensor

    @property
    def live(self) -> bool:
        """Whether frames arrive at their own pace."""
        return self._source.live

    @property
    def length(self) -> int | None:
        """Number of frames, or None when it is not known."""
        return self._source.length

    @property
    def reference(self) -> Trajectory | None:
        """True trajectory where there is one."""
        return self._source.reference

    @property
    def skipped(self) -> int:
        """Frames that could not be used."""
        return getattr(self._source, "skipped", 0)

    @property
    def dropped(self) -> int:
        """Frames of a live source that came too fast."""
        return getattr(self._source, "dropped", 0)

    def take(self, frame: Frame) -> Frame:
        """Return what becomes of a frame of the wrapped source."""
        return frame

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._source:
            yield self.take(frame)


class ChangedMask:
    """What a mask becomes by a change of its images; worked out once for one that all frames have."""

    def __init__(self, change: Callable[[BoolArray], BoolArray]) -> None:
        self._change = change
        self._last: tuple[BoolArray, BoolArray] | None = None

    def __call__(self, mask: BoolArray | None) -> BoolArray | None:
        """Return the changed mask, None for none."""
        if mask is None:
            return None
        if self._last is None or self._last[0] is not mask:
            self._last = mask, self._change(mask)
        return self._last[1]


def taken(source: Source, start: int = 0, end: int | None = None, stride: int = 1) -> Source:
    """Return the source of every `stride`-th frame of `source` from `start` on and before `end`; their ids stay.

    Frames that are left out of a recording are not read. ConfigError for a negative start, an end that is not after it,
    or a stride below 1.
    """
    if start < 0 or stride < 1 or (end is not None and end <= start):
        raise ConfigError(f"source.start {start}, end {end}, stride {stride}: need 0 <= start < end and stride >= 1")
    if (start, end, stride) == (0, None, 1):
        return source
    return source.taken(start, end, stride) if isinstance(source, Recording) else _Taken(source, start, end, stride)


class _Taken(Wrapper):
    def __init__(self, source: Source, start: int, end: int | None, stride: int) -> None:
        super().__init__(source)
        self._start, self._end, self._stride = start, end, stride

    @property
    def length(self) -> int | None:
        length = self._source.length
        return None if length is None else len(range(length)[self._start : self._end : self._stride])

    def __iter__(self) -> Iterator[Frame]:
        with closing(_generator(self._source)) as frames:
            for frame in frames:
                if self._end is not None and frame.id >= self._end:
                    return
                if frame.id >= self._start and (frame.id - self._start) % self._stride == 0:
                    yield frame
                if self._end is not None and frame.id + 1 >= self._end:
                    return


def resized(source: Source, width: int) -> Source:
    """Return the source with frames `width` px wide, the height in proportion, the intrinsics scaled.

    Images are averaged when they shrink and interpolated when they grow; depth takes the nearest value, since a mean
    over an edge lies on neither side. Of a mask that is usable which is made of usable pixels alone. ConfigError for a
    width below 16.
    """
    if width < 16:
        raise ConfigError(f"source.width is {width}: need at least 16 pixels")
    return source if width == source.camera.width else _Resized(source, width)


class _Resized(Wrapper):
    def __init__(self, source: Source, width: int) -> None:
        super().__init__(source)
        camera = source.camera
        self._size = width, max(1, round(camera.height * width / camera.width))
        self._camera = camera.scaled(*self._size)
        self._interpolation = cv2.INTER_AREA if width < camera.width else cv2.INTER_LINEAR
        self._mask, self._right_mask = ChangedMask(self._resize_mask), ChangedMask(self._resize_mask)

    @property
    def camera(self) -> Camera:
        return self._camera

    def take(self, frame: Frame) -> Frame:
        right, depth_m = frame.right, frame.depth_m
        return replace(
            frame,
            camera=self._camera,
            image=self._resize(frame.image, self._interpolation),
            right=None if right is None else self._resize(right, self._interpolation),
            depth_m=None if depth_m is None else self._resize(depth_m, cv2.INTER_NEAREST),
            mask=self._mask(frame.mask),
            right_mask=self._right_mask(frame.right_mask),
        )

    def _resize(self, image: NDArray[Any], interpolation: int) -> NDArray[Any]:
        return cast("NDArray[Any]", cv2.resize(image, self._size, interpolation=interpolation))

    def _resize_mask(self, mask: BoolArray) -> BoolArray:
        return np.asarray(self._resize(mask.astype(np.float32), self._interpolation) > _WHOLLY)


def prefetched(source: Source, frames: int) -> Source:
    """Return the source whose frames a thread reads ahead, at most `frames` of them; 0 reads none ahead.

    An error of the reader is raised in the iteration, after the frames before it. When the iteration is closed early,
    the thread ends with it. Live sources are returned as they are: they have their own thread.
    """
    return source if source.live or frames < 1 else _Prefetched(source, frames)


class _Prefetched(Wrapper):
    def __init__(self, source: Source, frames: int) -> None:
        super().__init__(source)
        self._size = frames

    def __iter__(self) -> Iterator[Frame]:
        channel: Channel[Frame] = Channel(self._size)

        def read() -> None:
            with closing(_generator(self._source)) as frames:
                for frame in frames:
                    channel.put(frame)

        worker = Worker("read-ahead", read, channel.close).start()
        try:
            yield from channel
            worker.join()
            if worker.error is not None:
                raise worker.error
        finally:
            channel.close()
            worker.join()


def _generator(source: Source) -> Generator[Frame, None, None]:
    """Return an iteration that can be closed, whatever the source iterates with."""
    yield from source
