"""What is told to others while a run goes on: MQTT. Needs the extra ``mqtt``."""
