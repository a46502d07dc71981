"""Generated images beside the real ones that are nearest to them: does a generator copy?"""

from wgan.datasets.images import grid, shrunk
from wgan.machine.command_line import Progress
from wgan.scores.distances import NEAREST, distances_between

import cv2
import numpy as np

ROWS = 12
GAP = 4                     # white pixels between two images
PIXELS = 32
AT_ONCE = 500               # images to compare


def neighbours_sheet(images, result, reference_images, reference):
    """Returns an RGB image, uint8: in each row a generated image, then the NEAREST real images by
    their features, nearest first.

    images, reference_images: the images, with `take`. result, reference: results of `measure`. All
    images are resized to the size of the first.
    """
    rows = min(ROWS, len(result['features']))
    nearest = _nearest(distances_between(result['features'][:rows], reference['features']))
    cells = neighbour_cells(images.take(result['kept'][:rows]),
                            reference_images.take(reference['kept'][nearest.ravel()]))
    return grid(cells, columns=1 + nearest.shape[1], border=GAP)


def neighbour_cells(images, real):
    """Returns each of the images before its real ones, all of the first image's size: uint8 (N, H,
    W, 3). real: as many of each image, one after the other.
    """
    (height, width), count = images[0].shape[:2], len(real) // len(images)
    cells = [cell for i, image in enumerate(images)
             for cell in [image, *real[i * count:(i + 1) * count]]]
    return np.stack([cv2.resize(cell, (width, height), interpolation=cv2.INTER_AREA)
                     for cell in cells])


def nearest_by_pixels(images, real):
    """Returns the indices of the NEAREST real images of each image, nearest first, by their pixels
    at PIXELS × PIXELS. A real image may be mirrored: a generator is trained on both.

    images, real: sequences of images, RGB, uint8, (S, S, 3); those in `real` are read once.
    """
    ours, tables, progress = shrunk(images, PIXELS), [], Progress('comparing images', len(real))
    for start in range(0, len(real), AT_ONCE):
        theirs = shrunk([real[i] for i in range(start, min(start + AT_ONCE, len(real)))], PIXELS)
        tables.append(np.minimum(*(distances_between(ours.reshape(len(ours), -1),
                                                     some.reshape(len(some), -1))
                                   for some in (theirs, theirs[:, :, ::-1]))))
        progress.show(start + len(theirs))
    progress.end('%d images compared' % len(real))
    return _nearest(np.concatenate(tables, axis=1))


def _nearest(table):
    return np.argsort(table, axis=1, kind='stable')[:, :NEAREST]
