"""Watch for something new near galaxies: references and candidates."""
