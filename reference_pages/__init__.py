"""Pages of the documentation that are made from the code and the results: methods, API, errors, alerts."""
