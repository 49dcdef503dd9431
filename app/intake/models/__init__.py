"""From an uploaded model folder to one that was checked and understood."""
