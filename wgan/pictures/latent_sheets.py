"""Images of a generator to play with on a page: moved along directions, and mixed."""

from wgan.datasets.images import grid
from wgan.datasets.labels import one_hot
from wgan.generators.directions import directions
from wgan.generators.evaluation import generated
from wgan.generators.latents import draw_latents, walk
from wgan.machine.command_line import Progress

import cv2
import numpy as np

COUNT = 12                      # latents
DIRECTIONS = 6
STEPS = 7                       # images along a direction, and from one latent to another
FURTHEST = 3.0                  # along a direction; a number of a latent is drawn from N(0, 1)
LARGEST_SIDE = 128              # of an image, pixels
BATCH = 36


def latent_sheets(generator, encode, room):
    """The images of a Generator, as dict: `images`, a sheet with all latents in a row; `moved`,
    of each latent a sheet with a row for each direction, -FURTHEST to FURTHEST; `mixed`, of each
    latent but the last a sheet with a row for each later one, from this to that; and the numbers
    of rows and columns. Of labels, the latents have each in turn.

    encode: from an image to text. room: how many characters the sheets may take: the images are
    shrunk until they fit.
    """
    latents = draw_latents(COUNT, generator.latent_size, seed=0)
    vectors = directions(generator.network, DIRECTIONS)
    shifts = np.linspace(-FURTHEST, FURTHEST, STEPS, dtype=np.float32)
    moved = latents[:, None, None] + shifts[:, None] * vectors[:, None]
    pairs = [(i, k) for i in range(COUNT) for k in range(i + 1, COUNT)]
    mixed = [walk(latents[list(pair)], STEPS, False, False)[0] for pair in pairs]

    names = generator.labels.names
    labels = one_hot(np.arange(COUNT) % max(len(names), 1), len(names))
    mixed_labels = [walk(labels[list(pair)], STEPS, True, False)[0] for pair in pairs]
    images = _images(
        generator, np.concatenate([latents, moved.reshape(-1, latents.shape[1]), *mixed]),
        np.concatenate([labels, labels.repeat(len(vectors) * STEPS, axis=0), *mixed_labels]))

    side, cuts = images.shape[1], np.cumsum([COUNT] + [len(vectors) * STEPS] * COUNT + [
        STEPS * (COUNT - 1 - i) for i in range(COUNT - 1)])
    while True:
        parts = np.split(_resized(images, side), cuts[:-1])
        sheets = [encode(grid(parts[0], COUNT))] + [
            encode(grid(part, STEPS)) for part in parts[1:] if len(part)]
        if sum(map(len, sheets)) <= room or side <= 8:
            break
        side = side * 3 // 4
    return {'images': sheets[0], 'moved': sheets[1:-COUNT + 1], 'mixed': sheets[-COUNT + 1:],
            'directions': len(vectors), 'steps': STEPS, 'side': images.shape[1],
            'labels': [names[i % len(names)] if names else '' for i in range(COUNT)]}


def _images(generator, latents, labels):
    """All images, of at most LARGEST_SIDE pixels."""
    progress, made = Progress('generating', len(latents)), []
    for images in generated(generator.network, latents, BATCH, generator.name, labels):
        made.append(_resized(images, min(LARGEST_SIDE, images.shape[1])))
        progress.show(sum(map(len, made)))
    progress.end('%d images for the page' % len(latents))
    return np.concatenate(made)


def _resized(images, side):
    return np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
                     for image in images])
