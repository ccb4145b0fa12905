"""Commands for devices elsewhere: wheelhouses, deployment, the stations of a fleet."""
