"""Precision, kernels and closed-form fits."""
