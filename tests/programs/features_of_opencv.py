"""Prints which instruction sets OpenCV uses: those with a star, and without a question mark."""

import wgan  # noqa: F401  (sets the environment)

import cv2

print(cv2.getCPUFeaturesLine())
