"""Evaluates networks, in evaluation mode and in training mode."""

from wgan.machine.command_line import UserError, one_line
from wgan.datasets.images import to_images

import numpy as np


def latent_input(generator):
    """Returns a generator's input for latents: the one of that name, or the only one."""
    return next((x for x in generator.arguments if x.name == 'latent'), generator.arguments[0])


def makes_text(generator):
    """Whether a generator makes text, (characters, 1, length), and not images, (3, S, S)."""
    return len(generator.output.shape) == 3 and generator.output.shape[1] == 1


def data_input(critic):
    """Returns a critic's input for images or text."""
    return next(x for x in critic.arguments if x.name != 'label')


def label_input(network):
    """Returns a network's input for one-hot labels; None if it takes none."""
    return next((x for x in network.arguments if x.name == 'label'), None)


def running_statistics(network):
    """Returns the running statistics of batch normalisation, a list of constants."""
    return [p for p in network.constants if p.name.startswith('aggregate_')]


def state(network):
    """Returns all that a network has learnt: its weights, and the running statistics."""
    return list(network.parameters) + running_statistics(network)


def generate(generator, latents, batch_size, labels=None):
    """Generates images, float32 (N, 3, S, S) in [-1, 1], or text, (N, characters, 1, length), from
    latents (N, latent_size).

    labels: (N, K), for a generator that takes labels. batch_size: does not change the results:
    batch normalisation uses its running statistics.
    """
    return np.concatenate(list(_batches(generator, latents, batch_size, labels)))


def _batches(generator, latents, batch_size, labels):
    inputs = {latent_input(generator): latents}
    if label_input(generator) is not None:
        inputs[label_input(generator)] = labels
    for i in range(0, len(latents), batch_size):
        yield generator.eval({variable: values[i:i + batch_size]
                              for variable, values in inputs.items()})


def generated(generator, latents, batch_size, name, labels=None):
    """Yields batches of generated images as RGB, uint8, (N, S, S, 3).

    Raises UserError as `generate_batches` does.
    """
    return map(to_images, generate_batches(generator, latents, batch_size, name, labels))


def generated_codes(generator, latents, batch_size, name):
    """Generates text: the numbers of the most probable characters, (N, length).

    Raises UserError as `generate_batches` does.
    """
    return np.concatenate([
        probabilities.argmax(axis=1)[:, 0]
        for probabilities in generate_batches(generator, latents, batch_size, name)])


def generate_batches(generator, latents, batch_size, name, labels=None):
    """Like `generate`, but yields batches.

    Raises UserError, with the name of the generator, if it makes NaN or infinite values.
    """
    for batch in _batches(generator, latents, batch_size, labels):
        if not np.isfinite(batch).all():
            raise UserError('the generator %s makes values that are NaN or infinite: its weights, '
                            'or the latents, are not usable' % one_line(name))
        yield batch


def evaluate_in_training(graph, feed):
    """Evaluates `graph` in training mode: batches are normalised by their own statistics.

    feed: {argument: array}. Returns an array, (N, …). Updates the running statistics.
    """
    output = graph.output
    # keep_for_backward puts CNTK into training mode.
    _, values = graph.forward(feed, [output], keep_for_backward={output})
    return values[output]
