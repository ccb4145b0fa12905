"""Everything that defines a model: labels, preprocessing, output decoding, metrics, and bundles."""
