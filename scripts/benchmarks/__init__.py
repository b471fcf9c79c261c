"""The project's benchmarks: one module each, all started by `scripts/bench NAME`."""
