"""`slamfront config`: a configuration as YAML, with its defaults."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import arg

from slamfront.commands.parsing import Flag, Settings, parse, settings_of
from slamfront.config import dump


@dataclass(frozen=True)
class Print:
    """Print the configuration that a file and options give, as a file that `--config` takes."""

    settings: Annotated[Settings, arg(name="")] = field(default_factory=Settings)
    all: Flag = False
    """Print the numbers for experts too, which seldom need to be set."""


def main(arguments: Sequence[str]) -> None:
    """Print the configuration that a file and options give, as a file that `--config` takes."""
    given = parse(Print, arguments, "config", Print(settings_of(arguments)))
    sys.stdout.write(dump(given.settings.run, expert=given.all))
