"""What an optimiser trains: a network's weights, or what generates them."""
