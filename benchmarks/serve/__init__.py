"""Serving beside other servers and the bare runtime, and what its users feel when it is busy."""
