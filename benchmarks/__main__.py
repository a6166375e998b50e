"""``python -m benchmarks``: which benchmarks there are."""

from __future__ import annotations

from benchmarks.registry import SUMMARIES


def main() -> int:
    width = max(map(len, SUMMARIES))
    print("Run one with: python -m benchmarks.NAME [--quick] [--json] [--plot FILE] [--save]\n")
    for name, summary in SUMMARIES.items():
        print(f"  {name:<{width}}  {summary}")
    print("\npython -m benchmarks.peers setup   prepares what they compare with")
    print("python -m benchmarks.docs          writes docs/benchmarks.md from the saved results")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
