"""Trimming vocabularies and their tokenizers."""
