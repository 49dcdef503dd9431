"""A job's report as tables of text, which every form of it shows: so that none has numbers of its own."""
