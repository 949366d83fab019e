"""Matrix: one account, in rooms in clear and encrypted end to end."""
