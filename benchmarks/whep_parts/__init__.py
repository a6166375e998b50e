"""The parts of `benchmarks.whep`: server, viewers, network, pages."""
