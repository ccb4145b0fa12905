"""TensorFlow Lite: conversion, quantisation, and its files.

The files can be read and edited.
"""
