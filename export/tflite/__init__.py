"""TensorFlow Lite: conversion, quantisation, reading and editing."""
