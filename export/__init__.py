"""From a trained network to a gated bundle: convert, prove that it is int8, measure what it lost, write."""
