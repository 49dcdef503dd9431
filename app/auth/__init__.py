"""Who sends a request, and whether it is admitted: before its body is read."""
