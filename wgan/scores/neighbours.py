"""Generated images beside the real ones that are nearest to them: does a generator copy?"""

from wgan.datasets.images import grid
from wgan.scores.distances import NEAREST, distances_between

import cv2
import numpy as np

ROWS = 12
GAP = 4                     # white pixels between two images


def neighbours_sheet(images, result, reference_images, reference):
    """Returns an RGB image, uint8: in each row a generated image, then the NEAREST real images by
    their features, nearest first.

    images, reference_images: the images, with `take`. result, reference: results of `measure`. All
    images are resized to the size of the first.
    """
    rows = min(ROWS, len(result['features']))
    count = min(NEAREST, len(reference['features']))
    table = distances_between(result['features'][:rows], reference['features'])
    nearest = np.argsort(table, axis=1, kind='stable')[:, :count]
    generated = images.take(result['kept'][:rows])
    real = reference_images.take(reference['kept'][nearest.ravel()])
    height, width = generated[0].shape[:2]
    cells = []
    for i, image in enumerate(generated):
        cells += [image, *real[i * count:(i + 1) * count]]
    return grid(np.stack([cv2.resize(cell, (width, height), interpolation=cv2.INTER_AREA)
                          for cell in cells]), columns=1 + count, border=GAP)
