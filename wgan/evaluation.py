"""What a network gives: as it was trained, and as a trainer sees it."""

import numpy as np


def generate(generator, latents, batch_size):
    """Images for latents (N, latent_size): float32 (N, 3, S, S) in [-1, 1].

    batch_size: how many are computed at once. Batch normalisation uses its running statistics, so
    an image depends on its own latent alone.
    """
    return np.concatenate([
        generator.eval({generator.arguments[0]: latents[i:i + batch_size]})
        for i in range(0, len(latents), batch_size)])


def evaluate_in_training(graph, feed):
    """What a trainer would see `graph` give: batches normalised by their own statistics.

    feed: {argument: array}. Returns an array, (N, …). It moves the running statistics.
    """
    output = graph.output
    # CNTK is in training mode when it is asked to keep what a backward pass would need.
    _, values = graph.forward(feed, [output], keep_for_backward={output})
    return values[output]
