"""What a model is: labels, preprocessing, output decoding, metrics and the bundle that carries them."""
