"""Generated images beside the real ones that are nearest to them, for a page."""

from wgan.datasets.batches import split
from wgan.datasets.images import ImageSet, grid, shrunk
from wgan.generators.evaluation import generated
from wgan.machine.command_line import UserError
from wgan.pictures.label_grid import label_grid, readable
from wgan.pictures.latent_sheets import BATCH, LARGEST_SIDE, latents_of_page
from wgan.scores.neighbours import GAP, neighbour_cells, nearest_by_pixels

import cv2
import numpy as np


def data_neighbours(generator, source, config):
    """Returns (an RGB image: each of the latents of a page beside its nearest images of `source`,
    a folder or map file; the number of images of `source`; whether these are the images that the
    generator was trained on, or None if that is not known).

    config: the config.json of its run, or {}. Raises UserError if `source` has no images.
    """
    real, trained_on = _training_images(source, generator.network.output.shape[1], config)
    latents, numbers, labels = latents_of_page(generator)
    images = np.concatenate(list(generated(
        generator.network, latents, BATCH, generator.name, labels)))
    if generator.network.output.shape[0] == 1:
        real = _Grey(real)
    nearest = nearest_by_pixels(images, real)
    cells = neighbour_cells(images, [real[i] for i in nearest.ravel()])
    cells = shrunk(cells, min(LARGEST_SIDE, images.shape[1]))
    names, columns = generator.labels.names, 1 + nearest.shape[1]
    sheet = (label_grid(cells, readable([names[i] for i in numbers]), columns, GAP) if names
             else grid(cells, columns, GAP))
    return sheet, len(real), trained_on


class _Grey:
    """The images of an ImageSet in grey, as a grey generator was trained with them."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        grey = cv2.cvtColor(self.images[i], cv2.COLOR_RGB2GRAY)
        return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)


def _training_images(source, size, config):
    """Returns (images, whether they are those that a run was trained on): without those that it
    held out. None: its config.json does not say.
    """
    settings = config.get('settings', {})
    images, digest = _image_set(source, size, settings.get('labels')), config.get('data_sha256')
    hold_out, seed = settings.get('hold_out', 0), settings.get('seed', 0)
    if digest is None or settings.get('processes', 1) != 1:     # of several, each has a part
        return images, None
    try:
        part = images.part(split(range(len(images)), hold_out, seed, images.contents)[0],
                           images.noun)
    except (TypeError, ValueError, OverflowError):              # damaged settings
        return images, None
    return (part, True) if part.digest == digest else (images, False)


def _image_set(source, size, labels):
    try:
        return ImageSet(source, size, labels=labels, option='--neighbours', report=False)
    except UserError:
        if not labels:
            raise
        return _image_set(source, size, None)       # without labels it is not the data of the run
