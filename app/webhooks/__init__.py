"""Telling other services what happens here, as in Standard Webhooks."""
