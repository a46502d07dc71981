"""Trains the two networks: options, losses, updates, and the parts for images and for text."""
