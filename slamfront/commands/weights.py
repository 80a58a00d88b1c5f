"""`slamfront weights`: what weights there are, under which terms, and how to get them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from slamfront.commands.parsing import Flag, parse
from slamfront.errors import ConfigError
from slamfront.models.weights import REGISTRY, cached_path, check, entry_named, fetch, packaged_weights

_PACKAGED = "Apache-2.0, made by slamfront and free for any use"


@dataclass(frozen=True)
class Weights:
    """List, show, fetch and check the weights of the networks.

    list shows all that are known, info the terms of some; fetch gets official ones after you have agreed to their
    licence; check compares the files that were fetched, and those that come with slamfront, with their SHA-256.
    """

    action: Positional[Literal["list", "info", "fetch", "check"]]
    """What to do."""
    names: Positional[tuple[str, ...]] = ()
    """Names as `list` shows them; check without names looks at all that are here."""
    yes: Flag = False
    """Agree to the licence without being asked."""
    source: Annotated[str | None, arg(name="from", metavar="FILE")] = None
    """Take the file from here, a local file or an address, instead of its authors' address."""


def main(arguments: Sequence[str]) -> None:
    """Do what is asked for."""
    given = parse(Weights, arguments, "weights")
    if given.action in ("info", "fetch") and not given.names:
        raise ConfigError(f"slamfront weights {given.action} needs a name: see `slamfront weights list`")
    actions: dict[str, Callable[[Weights], None]] = {"list": _list, "info": _info, "fetch": _fetch, "check": _check}
    actions[given.action](given)


def _list(_: Weights) -> None:
    for name in packaged_weights():
        print(f"{name:<22} comes with slamfront   {_PACKAGED}")
    for name, entry in REGISTRY.items():
        state = "fetched" if cached_path(entry).is_file() else "not here"
        print(f"{name:<22} {state:<22} {entry.model}: {entry.licence}")


def _info(given: Weights) -> None:
    packaged = packaged_weights()
    for name in given.names:
        if name in packaged:
            facts = {"licence": _PACKAGED, "files": ", ".join(str(path) for path in packaged[name])}
            card = packaged[name][0].with_name(f"{name}.md")
            if card.is_file():
                facts["model card"] = str(card)
        else:
            entry = entry_named(name)
            path = cached_path(entry)
            facts = {
                "network": entry.architecture,
                "licence": entry.licence,
                "terms": entry.terms,
                "address": entry.url,
                "SHA-256": entry.sha256 or "not published: known by its git blob id",
                "git blob id": entry.blob_id or "none: the file lies in no repository",
                "file": str(path) if path.is_file() else f"not here: slamfront weights fetch {name}",
            }
        print(name)
        for label, value in facts.items():
            print(f"  {label:<12} {value}")


def _fetch(given: Weights) -> None:
    if given.source is not None and len(given.names) > 1:
        raise ConfigError("--from gives one file: name one of the weights")
    for name in given.names:
        if name in packaged_weights():
            print(f"{name} comes with slamfront")
            continue
        entry = entry_named(name)
        print(f"{name}: {entry.licence}\n{entry.terms}")
        consent = given.yes or _agreed()
        print(f"fetched    {fetch(entry, consent=consent, source=given.source)}")


def _agreed() -> bool:
    """Ask whoever sits at the terminal; without one the answer is no."""
    if not sys.stdin.isatty():
        print("to agree without a terminal, add --yes")
        return False
    return input("Do you agree to these terms? [y/N] ").strip().lower() in ("y", "yes")


def _check(given: Weights) -> None:
    packaged = packaged_weights()
    fetched = [name for name, entry in REGISTRY.items() if cached_path(entry).is_file()]
    for name in given.names or [*packaged, *fetched]:
        if name not in packaged:
            print(f"{name}: {check(entry_named(name))} is the official file")
            continue
        from slamfront.models.checkpoints import load_network

        print(f"{name}: comes with slamfront, and is a whole {type(load_network(name)).__name__}")
