"""Reads untrusted uploads."""
