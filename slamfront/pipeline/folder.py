"""Whose folder it is: one run at a time writes into one, and only what a run has written there is ever replaced."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from pathlib import Path
from typing import Any

from slamfront.errors import OutputError
from slamfront.reading import read_text

try:
    import fcntl
except ImportError:  # not a POSIX system: two runs into one folder are told by the marker alone
    fcntl = None  # type: ignore[assignment]

MARKER = ".slamfront-run"
"""The file by which a folder is known as that of a run: its state, and what it has written."""

_FILES = (
    r"(config\.yaml|environment\.json|loops\.csv|metrics\.json|errors\.csv|stats\.csv|landmarks\.ply"
    r"|(map|trajectory|errors|stages)\.png|online(-\d+)?\.tum|(final|keyframes)\.tum|(online|final)\.kitti)"
)
_MODEL = r"colmap/(cameras|images|points3D)\.txt"
_FURTHER = rf"map-\d+/((final|keyframes)\.tum|landmarks\.ply|{_MODEL})"
_RESULT = re.compile(rf"{_FILES}|{_MODEL}|{_FURTHER}")
_HELD = (errno.EWOULDBLOCK, errno.EACCES)


class Claim:
    """A folder that is this run's alone from when this is made until `close`.

    It is new, or empty, or that of an earlier run that has ended. What that one left stays until `clear`, which removes
    the files that it is known to have written, and nothing else. Raises OutputError for any other folder, for one that
    another run is writing into, and where it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._marker = self.path / MARKER
        self._file: Any = None
        self._made: list[Path] = []
        try:
            self._make()
            self._file = self._open()
            self._earlier = self._read()
            self._check()
        except OSError as error:
            self._give_back()
            raise OutputError(f"cannot write results to {self.path}: {error.strerror or error}") from error
        except BaseException:
            self._give_back()
            raise
        self.cleared = False

    @property
    def holds_results(self) -> bool:
        """Whether an earlier run's results are there."""
        return not self.cleared and bool(self._earlier)

    def clear(self) -> None:
        """Remove what the earlier run has written, and mark the folder as being written; OutputError."""
        try:
            self._mark("running", [])
            for name in self._earlier:
                path = self.path / name
                if not any(parent.is_symlink() for parent in path.parents if parent.is_relative_to(self.path)):
                    path.unlink(missing_ok=True)
            for folder in sorted({(self.path / name).parent for name in self._earlier}, reverse=True):
                if folder != self.path:
                    with contextlib.suppress(OSError):  # something else is in there, too
                        folder.rmdir()
        except OSError as error:
            raise OutputError(f"cannot write results to {self.path}: {error.strerror or error}") from error
        self.cleared = True

    def close(self) -> None:
        """Mark the folder as that of a run that has ended; a second call does nothing.

        A folder that was made for a run which has put nothing into it is removed.
        """
        if self._file is None:
            return
        if not self.cleared:
            self._give_back()
            return
        with contextlib.suppress(OSError):  # a full disk: the folder then counts as that of a run that did not end
            self._mark("finished", _results_in(self.path))
        self._unlock()

    def made(self, folder: Path) -> None:
        """Take a folder as made for this run."""
        self._made.append(folder)

    def _make(self) -> None:
        missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            self._made.append(folder)
        if not self.path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))

    def _open(self) -> Any:
        self._new = not self._marker.exists()
        file = os.fdopen(os.open(self._marker, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in _HELD:
                    file.close()
                    self._new = False
                    raise OutputError(f"another run is writing into {self.path}: name another folder") from None
        return file

    def _read(self) -> list[str]:
        """Return what the earlier run has written; OutputError when it is not known to have ended."""
        if self._new:
            return []
        text = read_text(self._marker, OutputError)
        if not text:  # a run that ended before it had anything to put here
            self._new = True
            return []
        try:
            values = json.loads(text)
            state, names = values["state"], values["files"]
            known = [name for name in names if _RESULT.fullmatch(name)]
        except (ValueError, TypeError, KeyError):
            state, known = "", []
        if state != "finished":
            raise OutputError(f"{self.path} holds a run that did not end: name another folder, or remove this one")
        return known

    def _check(self) -> None:
        """Refuse a folder that holds what no run has written under a name that this one would write."""
        there = [path.name for path in self.path.iterdir() if path.name != MARKER]
        if self._new and there:
            raise OutputError(
                f"{self.path} holds {min(there)}, and is not known as the folder of a run: name a new or empty folder"
            )
        foreign = sorted(set(_results_in(self.path)) - set(self._earlier))
        if foreign:
            raise OutputError(f"{self.path} holds {foreign[0]}, which no run has written: name another folder")

    def _mark(self, state: str, names: list[str]) -> None:
        data = json.dumps({"state": state, "files": names}).encode()
        self._file.seek(0)
        self._file.write(data)
        self._file.truncate(len(data))

    def _give_back(self) -> None:
        """Leave everything as it was."""
        if self._file is not None and self._new:
            self._marker.unlink(missing_ok=True)
        self._unlock()
        for folder in reversed(self._made):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _unlock(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def claim_new(path: Path) -> Claim:
    """Return a claim on a folder that nobody has: `path`, or else with the next free number behind it."""
    for number in range(1, 1000):
        candidate = path if number == 1 else path.with_name(f"{path.name}-{number}")
        try:
            candidate.parent.mkdir(parents=True, exist_ok=True)
            candidate.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise OutputError(f"cannot write results to {candidate}: {error.strerror or error}") from error
        claim = Claim(candidate)
        claim.made(candidate)
        return claim
    raise OutputError(f"cannot write results to {path}: there are a thousand such folders")


def _results_in(folder: Path) -> list[str]:
    """Return the files in a folder that have the names of results, relative to it."""
    found = []
    for pattern in ("*", "colmap/*", "map-*/*", "map-*/colmap/*"):
        for path in folder.glob(pattern):
            name = path.relative_to(folder).as_posix()
            if _RESULT.fullmatch(name) and (path.is_file() or path.is_symlink()):
                found.append(name)
    return sorted(found)
