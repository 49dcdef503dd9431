"""What answers each task."""
