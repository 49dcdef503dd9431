"""Training a network on a data set: what every method shares."""
