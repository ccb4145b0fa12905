"""All stations that publish to one MQTT broker: their state, what differs between them, and a page that shows it."""
