"""Recorded benchmarks, kept apart by processor: their format, their tables and their figures."""
