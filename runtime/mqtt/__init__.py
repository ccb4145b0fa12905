"""Publish events and the state of a run to an MQTT broker."""
