"""Install releases on devices over OpenSSH.

The parts are wheelhouses, the agent on the device, switch and rollback.
"""
