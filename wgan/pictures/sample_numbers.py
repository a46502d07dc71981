"""How generated images differ from real ones, in numbers that need no network."""

import os

from wgan.pictures.animation import find_grids

import numpy as np

COLUMNS = 8                     # of a sample grid of a run
FEWEST = 8                      # images that say something
DARK = 32                       # a grey level, of 255; the colours of real images are varied


def numbers_of(images):
    """Returns a dict of three numbers of images, RGB, uint8, (N, S, S, 3), by their grey levels.

    contrast: mean of the standard deviation inside of an image. variety: mean over the pixels of
    the standard deviation over the images. roughness: mean difference of neighbouring pixels,
    divided by the contrast.
    """
    grey = images.astype(float).mean(axis=3)
    contrast = grey.std(axis=(1, 2)).mean()
    steps = np.mean([np.abs(np.diff(grey, axis=axis)).mean() for axis in (1, 2)])
    return {'contrast': contrast, 'variety': grey.std(axis=0).mean(),
            'roughness': steps / max(contrast, 1e-12)}


def ratios(run_folder, size, reader):
    """Returns the numbers of the last sample grid of a run divided by those of samples/real.png,
    and `dark_corners`: the fraction of the real images that have four; a dict. None if there are
    not two grids of so many images of `size` pixels.

    reader: the ImageReader.
    """
    paths = [path for _, path in find_grids(run_folder)[-1:]]
    paths.append(os.path.join(run_folder, 'samples', 'real.png'))
    sets = [tiles(reader.read(path), size) for path in paths if os.path.isfile(path)]
    if len(sets) < 2 or min(map(len, sets)) < FEWEST:
        return None
    generated, real = map(numbers_of, sets)
    return dict({name: generated[name] / max(real[name], 1e-12) for name in generated},
                dark_corners=dark_corners(sets[1]))


def dark_corners(images):
    """Returns the fraction of images whose four corners are DARK, an eighth of the image wide."""
    side = max(1, images.shape[1] // 8)
    corners = [images[:, rows, columns].mean(axis=(1, 2, 3))
               for rows in (slice(side), slice(-side, None))
               for columns in (slice(side), slice(-side, None))]
    return (np.max(corners, axis=0) < DARK).mean()


def tiles(sheet, size):
    """Returns the images of a sample grid, (N, size, size, 3), without names of labels at its left
    and without what fills its last row. None of another shape, and of None.
    """
    width = COLUMNS * size
    if sheet is None or len(sheet) % size or sheet.shape[1] < width:
        return np.zeros((0, size, size, 3), np.uint8)
    images = sheet[:, -width:].reshape(-1, size, COLUMNS, size, 3).swapaxes(1, 2)
    images = images.reshape(-1, size, size, 3)
    return images[images.any(axis=(1, 2, 3))]
