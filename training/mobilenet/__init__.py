"""MobileNetV2: its architecture and its pretrained weights."""
