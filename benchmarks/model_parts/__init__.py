"""The questions of `benchmarks.models`, a file each; `measure` answers one with rows and targets."""
