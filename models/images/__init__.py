"""The one image decoder.

Training, evaluation and the runtime read every image with it.
"""
