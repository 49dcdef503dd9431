"""From uploaded tables to the canonical form of a data set."""
