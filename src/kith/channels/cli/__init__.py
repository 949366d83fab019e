"""The terminal at which Kith runs: its owner, talking without a network."""
