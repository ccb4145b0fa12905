"""Video4Linux2 cameras, through the kernel's own calls.

They give the formats, sizes, rates and controls of a camera.
"""
