"""Decode so many spoiled image files: decode_spoiled.py COUNT.

Prints how many could be read, and the memory that the process took at most, in kilobytes.
"""

import resource
import sys

from helpers import image_file
from wgan.datasets.image_decoder import UnreadableImage, decode

import cv2
import numpy as np


def originals(rng):
    """Whole files of all kinds."""
    image = cv2.GaussianBlur(rng.randint(0, 256, (90, 70, 4)).astype(np.uint8), (0, 0), 3)
    rgb, alpha = image[:, :, :3], image
    made = [cv2.imencode(suffix, p)[1].tobytes() for suffix, p in (
        ('.png', rgb), ('.png', alpha), ('.jpg', rgb), ('.webp', rgb), ('.bmp', rgb),
        ('.tiff', rgb), ('.ppm', rgb), ('.png', alpha.astype(np.uint16) * 257),
        ('.pgm', rgb[:, :, 0]), ('.tiff', rgb.astype(np.uint16) * 257), ('.jp2', rgb),
        ('.ras', rgb))]
    flag = np.zeros((96, 160, 3), np.uint8)
    flag[:32, :40], flag[64:], flag[:, 120:] = (250, 20, 20), (20, 20, 250), (20, 250, 20)
    return made + [image_file(flag, kind, mode, orientation) for kind, mode, orientation in (
        ('GIF', 'P', None), ('WEBP', 'RGBA', 6), ('PNG', 'LA', 5), ('TIFF', 'RGBA', 4),
        ('JPEG2000', 'RGBA', None), ('JPEG', 'RGB', 8))]


def spoiled(data, rng):
    """An image file with some bytes changed, cut off, or spliced with others."""
    data = bytearray(data)
    how = rng.randint(4)
    if how < 2:                                         # anywhere; in the header
        end = len(data) if how == 0 else min(64, len(data))
        for i in rng.randint(0, end, rng.randint(1, 20)):
            data[i] = rng.randint(256)
    elif how == 2:
        data = data[:rng.randint(len(data))]
    else:
        i, j = np.sort(rng.randint(0, len(data), 2))
        data = data[:i] + bytes(rng.bytes(rng.randint(1, 64))) + data[j:]
    return bytes(data)


def main():
    rng = np.random.RandomState(0)
    files, read = originals(rng), 0
    for i in range(int(sys.argv[1])):
        try:
            found, _ = decode(spoiled(files[i % len(files)], rng))
        except UnreadableImage:
            continue
        assert found.ndim == 3 and found.shape[2] == 3 and found.dtype == np.uint8
        read += 1
    print(read, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == '__main__':
    main()
