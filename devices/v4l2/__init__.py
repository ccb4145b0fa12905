"""Video4Linux2 cameras: their formats, sizes, rates and controls, through the kernel's own calls."""
