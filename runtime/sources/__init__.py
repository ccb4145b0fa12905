"""Where frames come from: image files, videos, cameras, streams, the demo."""
