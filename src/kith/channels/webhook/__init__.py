"""Any program of your own as a chat platform: signed JSON over HTTP, both ways."""
