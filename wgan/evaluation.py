"""What a network gives: as it was trained, and as a trainer sees it."""

from wgan.command_line import UserError, one_line
from wgan.images import to_images

import numpy as np


def generate(generator, latents, batch_size):
    """Images for latents (N, latent_size): float32 (N, 3, S, S) in [-1, 1].

    batch_size: how many are computed at once. Batch normalisation uses its running statistics, so
    an image depends on its own latent alone.
    """
    return np.concatenate([
        generator.eval({generator.arguments[0]: latents[i:i + batch_size]})
        for i in range(0, len(latents), batch_size)])


def generated(generator, latents, batch_size, name):
    """Images for latents as they are saved: RGB, uint8, (N, S, S, 3), a batch at a time.

    Raises UserError, with the name of the generator, if it makes NaN or infinite values.
    """
    for first in range(0, len(latents), batch_size):
        images = generate(generator, latents[first:first + batch_size], batch_size)
        if not np.isfinite(images).all():
            raise UserError('the generator %s makes values that are NaN or infinite: its weights, '
                            'or the latents, are not usable' % one_line(name))
        yield to_images(images)


def evaluate_in_training(graph, feed):
    """What a trainer would see `graph` give: batches normalised by their own statistics.

    feed: {argument: array}. Returns an array, (N, …). It moves the running statistics.
    """
    output = graph.output
    # CNTK is in training mode when it is asked to keep what a backward pass would need.
    _, values = graph.forward(feed, [output], keep_for_backward={output})
    return values[output]
