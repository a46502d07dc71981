"""Begins a training on images, as wgan_training.py does; the experiments go on with it."""

import time

import _root  # noqa: F401
import models
from wgan.datasets.images import ImageBatches
from wgan.training.objectives import OBJECTIVES
from wgan.training.options import objective_settings
from wgan.training.updates import Updates, critic_updates

import numpy as np


def begin(options, faces, row=None, ema=0.0):
    """Returns (Updates of two new networks, minibatches).

    options: of wgan_training.py. faces: an ImageSet. row: as in OBJECTIVES, in the place of that of
    the objective. ema: decay of the generator's moving average; 0: none.
    """
    row, rng = row or OBJECTIVES[options.objective], np.random.RandomState(options.seed)
    batches = ImageBatches(faces, options.batch_size, rng)
    networks = models.networks(faces.size, options.latent_size, options.width, row.normalization,
                               rng)
    return Updates(*networks, row, options.batch_size, rng, ema=ema,
                   **objective_settings(options)), batches


def train_for(seconds, updates, batches, n_critic, boost=None):
    """Trains for a processor time, or until a logged value is NaN or infinite. Returns the number
    of iterations. boost: as in `critic_updates`.
    """
    step, end = 0, time.process_time() + seconds
    while time.process_time() < end:
        step += 1
        for _ in range(critic_updates(step, n_critic, boost)):
            updates.update_critic(*batches.next())
        updates.update_generator(step)
        if not np.isfinite(updates.row()).all():
            break
    return step
