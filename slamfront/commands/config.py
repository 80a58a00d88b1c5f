"""`slamfront config`: a configuration as YAML, with all its defaults."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from slamfront.commands.parsing import Settings, parse, settings_of
from slamfront.config import dump


def main(arguments: Sequence[str]) -> None:
    """Print the configuration that a file and options give, as a file that `--config` takes."""
    settings = parse(Settings, arguments, "config", settings_of(arguments))
    sys.stdout.write(dump(settings.run))
