"""WhatsApp: a business number of one's own, through Meta's Cloud API."""
