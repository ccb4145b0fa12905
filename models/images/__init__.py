"""The one image decoder: training, evaluation and the runtime read every image with it."""
