"""`python -m slamfront` is the same as `slamfront`."""

from __future__ import annotations

import sys

from slamfront.cli import main

sys.exit(main())
