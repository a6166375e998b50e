"""The parts of ``benchmarks.budget``."""
