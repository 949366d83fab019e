"""Discord: a bot of one's own, through the Gateway and the REST API."""
