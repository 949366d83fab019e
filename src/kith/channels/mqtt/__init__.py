"""MQTT: things, home automation and small programs talk with Kith through a broker's topics."""
