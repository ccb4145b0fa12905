"""Install releases on devices over the user's OpenSSH: wheelhouses, the agent on the device, switch and rollback."""
