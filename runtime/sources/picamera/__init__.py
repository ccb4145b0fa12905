"""Cameras of a Raspberry Pi through Picamera2, in a process that can be killed.

They are not verified on hardware.
"""
