"""Cameras of a Raspberry Pi through Picamera2, in a child process that can be killed. Not verified on hardware."""
