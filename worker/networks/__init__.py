"""Loading and building networks of a known layout."""
