"""Benchmarks: side by side in one run, never a gate. Results are kept in RESULTS.md."""
