"""Endpoints: a client's URL outlives the model that answers it."""
