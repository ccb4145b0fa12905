"""Process frames at the telescope: read, detect, classify, track, store, show.

Never imports TensorFlow.
"""
