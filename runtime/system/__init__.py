"""What the runtime asks of the operating system: files, locks, addresses, buffers, systemd."""
