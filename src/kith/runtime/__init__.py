"""The ground: settings, registry, bus, tasks, supervisor, telemetry, files and HTTP."""
