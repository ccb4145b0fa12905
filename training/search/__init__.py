"""The search for small networks."""
