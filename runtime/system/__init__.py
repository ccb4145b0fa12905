"""Operating system services: files, locks, addresses, buffers, systemd."""
