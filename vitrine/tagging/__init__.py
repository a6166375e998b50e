"""Recorded video: hotspots found ahead of time, what is written of them, and batches over many files."""
