"""Commands about the sky."""
