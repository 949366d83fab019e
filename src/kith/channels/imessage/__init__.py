"""iMessage: a Mac of one's own, through the BlueBubbles server that runs on it."""
