"""Chaos on real processes: ``python -m tests.chaos``; what it does and how to read it is in README.md."""
