"""Trains the two networks: options, losses, updates; what images and text have of their own."""
