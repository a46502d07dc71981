"""Generators in files, and what they make."""
