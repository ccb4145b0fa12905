"""Join detections of successive frames into objects."""
