"""One job, in a process of its own: stage by stage from the request to the stored student."""
