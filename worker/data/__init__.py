"""Texts to tokens, and tokens to batches."""
