"""Loading teachers and building students: plain transformers networks of a known layout."""
