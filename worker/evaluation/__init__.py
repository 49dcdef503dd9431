"""What a network is worth on a data set: metrics, latency, and the report that compares two."""
