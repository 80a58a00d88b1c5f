"""What a front end knew before a frame, to go back to where a frame fails in the middle of its step."""

from __future__ import annotations

import copy
from collections import deque
from typing import Any

from slamfront.map.atlas import Atlas

_HOLDERS = (list, dict, set, deque)
_ROOMS = ("slamfront.frontend", "slamfront.tracking.", "slamfront.mapping.", "slamfront.loop_closing.")


class Rollback:
    """The attributes of an object of the front end's rooms, and of all such objects that it holds, as they are now.

    Lists, sets and mappings are copied, and what they hold is not: a map's arrays are not looked into, since those who
    change them do it last.
    """

    def __init__(self, root: object) -> None:
        self._kept: list[tuple[Any, dict[str, Any]]] = []
        self._seen: set[int] = set()
        self._keep(root)

    def restore(self) -> None:
        """Give every attribute the value that it had."""
        for owner, values in self._kept:
            vars(owner).clear()
            vars(owner).update(values)

    def _keep(self, owner: object) -> None:
        if id(owner) in self._seen:
            return
        self._seen.add(id(owner))
        values = dict(vars(owner))
        for name, value in values.items():
            if isinstance(value, _HOLDERS):
                values[name] = copy.copy(value)
            elif hasattr(value, "__dict__") and (type(value).__module__.startswith(_ROOMS) or isinstance(value, Atlas)):
                self._keep(value)
        self._kept.append((owner, values))
