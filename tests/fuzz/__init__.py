"""Fuzzing what reads strangers' bytes: ``python -m tests.fuzz --help``."""
