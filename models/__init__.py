"""Everything that defines a model.

These are labels, preprocessing, output decoding, metrics, and bundles.
"""
