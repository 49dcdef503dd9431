"""Projects, whom everything belongs to, and their API keys."""
