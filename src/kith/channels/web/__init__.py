"""The channel behind Kith's own WebSocket: JSON frames, live deltas, and nothing lost across a broken connection."""
