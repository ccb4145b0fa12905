"""ONNX: conversion and quantisation."""
