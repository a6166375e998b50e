"""``vitrine`` with the benchmark's detector family registered; everything else is the real server."""

from __future__ import annotations

from benchmarks.painted.blob import register
from vitrine.cli import main

if __name__ == "__main__":
    register()
    main()
