"""The search for a student that meets goals. Arithmetic only: what is tried, promoted and chosen."""
