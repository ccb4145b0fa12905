"""Operating system services of the runtime: files, locks, addresses, buffers, systemd."""
