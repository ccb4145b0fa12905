"""Watch for something new near galaxies: references on disk, candidates in the output folder."""
