"""All stations that publish to an MQTT broker, their differences, and a page."""
