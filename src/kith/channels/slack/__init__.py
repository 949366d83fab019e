"""Slack: an app of one's own in a workspace, over Socket Mode or the Events API."""
