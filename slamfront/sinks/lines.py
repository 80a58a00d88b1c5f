"""A text file that grows line by line and never holds half of one for long."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from slamfront.errors import OutputError
from slamfront.writing import written_whole


class LineFile:
    """Appends lines that are on their way to the disk when `add` returns, so that a killed run keeps them.

    A new file is begun, its folder made. Raises OutputError when that is not possible, and when a line cannot be kept.
    """

    def __init__(self, path: Path, header: str) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("wb", buffering=0)
        except OSError as error:
            raise self._refused(error) from error
        try:
            self.add(header)
        except OutputError:
            self._file.close()
            raise

    def add(self, line: str) -> None:
        """Append one line."""
        data = memoryview(line.encode("utf-8") + b"\n")
        try:
            while data:  # a disk that fills up takes a part, and refuses the rest
                data = data[self._file.write(data) or 0 :]
        except OSError as error:
            raise self._refused(error) from error

    def rewrite(self, lines: Sequence[str]) -> None:
        """Replace all lines at once: until the new ones are complete on the disk, the old ones stay."""
        before = self._file
        try:
            with written_whole(self.path) as temporary:
                self._file = temporary.open("wb", buffering=0)
                self.add("\n".join(lines))
        except (OSError, OutputError) as error:
            if self._file is not before:
                self._file.close()
                self._file = before
            raise error if isinstance(error, OutputError) else self._refused(error) from error
        before.close()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        try:
            self._file.close()
        except OSError as error:
            raise self._refused(error) from error

    def __enter__(self) -> LineFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refused(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self.path}: {error.strerror or error}")
