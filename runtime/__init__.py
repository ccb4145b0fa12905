"""From a camera to events: sources, detect, crop, classify, track, store, show. Never imports TensorFlow."""
