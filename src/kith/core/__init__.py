"""The foundation: domain types, ports, errors, events, ids and the clock. Standard library only, no I/O."""
