"""Deliberate breakages of the product, and whether the proofs notice: `python -m tests.mutants`."""
