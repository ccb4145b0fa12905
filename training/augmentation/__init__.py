"""Views of galaxies for training: turned, shifted, noisy, and as other telescopes show them."""
