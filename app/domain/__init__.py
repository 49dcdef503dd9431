"""What the product talks about: no I/O and no framework; the API and the worker both read it."""
