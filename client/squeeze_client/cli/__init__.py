"""``squeeze …``, by Typer and Rich. Commands import what is heavy: the server starts through this too."""
