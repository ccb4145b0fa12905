"""The systemd service that runs galaxy-edge at the start of a device."""
