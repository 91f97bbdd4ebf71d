"""Whole weeks of the whole product under one seed: `python -m tests.simulation.weeks`, and `make simulate`."""
