"""Every method beside its controls, on the same data, steps, shapes and seeds."""
