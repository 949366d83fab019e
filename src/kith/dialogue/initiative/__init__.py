"""Speaking first: what somebody wants to be reminded of, and when."""
