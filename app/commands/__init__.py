"""What the server adds to ``squeeze``. Each command imports what it runs: the API starts through here."""
