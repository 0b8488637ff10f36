"""``python -m memprof`` is the command ``memprof``."""

from __future__ import annotations

import sys

from memprof.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
