"""A generator as a run begins with it, which score_order.py and speed.py make images with."""

import numpy as np

from wgan.generators.evaluation import evaluate_in_training
import models


def untrained(image_size, latent_size, width, seed):
    """It has seen one minibatch: without statistics to normalise by, its images would be grey."""
    generator = models.generator(image_size, latent_size, width, seed)
    latents = np.random.RandomState(0).standard_normal((64, latent_size)).astype(np.float32)
    evaluate_in_training(generator, {generator.arguments[0]: latents})
    return generator
