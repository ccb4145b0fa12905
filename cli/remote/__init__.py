"""Commands for remote devices: wheelhouses, deployment, stations of a fleet."""
