"""Parts of `benchmarks.match`."""
