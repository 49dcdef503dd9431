"""``squeeze demo``: the service driven as a client would, on a real encoder and real text."""
