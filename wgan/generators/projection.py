"""Projection: finds the latents whose images are nearest to given pictures."""

from collections import namedtuple
import os

from wgan.generators.evaluation import (
    data_input, generate_batches, label_input, latent_input)
from wgan.generators.latents import draw_latents
from wgan.machine.cntk import C, quiet
from wgan.machine.cntk_files import load_model
from wgan.machine.command_line import Progress, UserError, number, one_line
from wgan.machine.device import add_device_option
from wgan.datasets.image_files import counted
from wgan.datasets.images import GREY, shrunk, to_network

import numpy as np

CRITIC = 'wgan_critic.model'
DRAWN = 1000                    # latents, the nearest of which are the starts
COMPARED = 32                   # pixels: the side of the shrunk images that decide which these are
PIXELS = 2 ** 18                # in a minibatch, of one channel: 64 images of 64 × 64 pixels
RATE = 0.2                      # Adam's step at the start; it falls to 0 as a cosine
BETA1, BETA2 = 0.9, 0.999
SPHERE = 1e-3                   # weight of the squared distance from the sphere
FEATURES = 0.1                  # weight of the critic's features; that of the pixels is 1
TYPICAL = 16                    # generated images that decide the scale of a layer's features
ROUNDING = 1 / 12               # mean squared error of rounding to 8 bits

# latents: (N, latent size). labels: their indices, (N,); 0 without labels. images: float32,
# (N, C, S, S) in [-1, 1].
Projection = namedtuple('Projection', 'latents labels images')


def project(network, pictures, *, labels, starts, steps, seed, name, critic=None):
    """Finds for each picture the latent z that minimises the distance of the image from it:

        mean of (image − picture)² + SPHERE (‖z‖ − √n)² + FEATURES · distance of the features

    by Adam with respect to z: Zhu et al. 2016, 'Generative Visual Manipulation on the Natural Image
    Manifold', https://arxiv.org/abs/1609.03552. The second term keeps z near the sphere on which
    most of N(0, 1) in n dimensions lies. The third one is left out without critic.

    network: the generator. pictures: float32, (N, C, S, S) in [-1, 1]. labels: one-hot, (K, all
    labels): those to try; (1, 0) without labels. starts: starts for each picture, and at least one
    for each label. seed: of the latents that they are the nearest of. name: of the generator.
    Returns a Projection: the best of all starts. It does not depend on the other pictures.
    Raises UserError if the generator makes values that are NaN or infinite.
    """
    starts = max(starts // len(labels), 1)
    drawn, drawn_labels = _draw(network, labels, starts, seed)
    nearest = _nearest(network, pictures, drawn, drawn_labels, len(labels), starts, name)
    z, label, count = drawn[nearest.ravel()], drawn_labels[nearest.ravel()], nearest.shape[1]
    distance, found = Distance(network, critic, drawn, drawn_labels), np.zeros(len(z))
    size = max(1, PIXELS // np.prod(pictures.shape[2:]))
    progress = Progress('projecting', -(-len(z) // size) * steps)
    for i in range(0, len(z), size):
        rows = slice(i, i + size)
        function = distance.of(pictures[np.arange(len(z))[rows] // count], label[rows])
        z[rows], found[rows] = minimize(
            function, z[rows], steps, lambda step: progress.show(i // size * steps + step))
    best = np.arange(len(pictures)) * count + found.reshape(-1, count).argmin(axis=1)
    images = np.concatenate(list(generate_batches(network, z[best], size, name, label[best])))
    progress.end(counted(len(pictures), 'picture'))
    return Projection(z[best], (label[best] @ np.arange(label.shape[1])).astype(int), images)


def add_options(parser):
    """Adds the options of all programs that project: those of `project`, --force, --device."""
    parser.add_argument('--starts', type=number(int, 1), default=2, help='starts for each picture, '
                        'of which the best is taken; at least one for each label')
    parser.add_argument('--steps', type=number(int, 1), default=200, help='steps of Adam')
    parser.add_argument('--seed', type=number(int, 0, 2 ** 32 - 1), default=0,
                        help='seed for drawing the starts')
    parser.add_argument('--force', action='store_true', help='overwrite without asking')
    add_device_option(parser)


def side_of(generator):
    """Returns the side of the images of a Generator. Raises UserError if they are not square."""
    _, height, width = generator.network.output.shape
    if height != width:
        raise UserError('%s makes images of %d × %d pixels, and pictures are projected as squares'
                        % (one_line(generator.path), width, height))
    return width


def as_output(pictures, network):
    """Converts pictures, uint8 (N, S, S, 3), to what the generator makes: float32 (N, C, S, S) in
    [-1, 1], grey if its images are.
    """
    if network.output.shape[0] == 1:
        pictures = pictures @ GREY[:1].T
    return to_network(pictures)


def psnr(images, pictures):
    """Peak signal-to-noise ratio in decibels, (N,): 10 log₁₀ (2² / mean squared difference) of
    values in [-1, 1].

    The pictures have 8 bits, so no difference counts less than that of rounding: 58.9 at most.
    """
    error = np.square(np.float64(images) - pictures).reshape(len(images), -1).mean(axis=1)
    return 10 * np.log10(4 / np.maximum(error, ROUNDING * (2 / 255) ** 2))


def find_critic(generator):
    """Returns the critic beside a Generator's file; None if there is none, or it has no
    convolutions. Raises UserError if it does not fit.
    """
    path = os.path.join(os.path.dirname(generator.path), CRITIC)
    if not os.path.isfile(path):
        return None
    with quiet():
        try:
            critic = load_model(path)
            takes = [x.shape for x in (data_input(critic), label_input(critic)) if x is not None]
        except (RuntimeError, ValueError, StopIteration):
            raise UserError('cannot read %s as a critic; move it away to compare pixels only'
                            % one_line(path))
    label = label_input(generator.network)
    needed = [generator.network.output.shape] + ([] if label is None else [label.shape])
    if takes != needed:
        raise UserError('%s is no critic of %s: it takes %s, not %s; move it away to compare '
                        'pixels only' % (one_line(path), one_line(generator.path), takes, needed))
    return critic if _convolutions(critic) else None


def in_evaluation_mode(network):
    """Returns a copy of a network in which batch normalisation is a scale and a shift by the
    running statistics, so that `Function.grad` differentiates what `Function.eval` computes.

    `Function.grad` runs in training mode, where batch normalisation takes the statistics of the
    minibatch. Infinite time constants do not help: the values are right then, and the gradient is
    still that of training.
    """
    while True:
        node = next((node for node in _nodes(network) if _normalizes(node)), None)
        if node is None:
            return network
        copy = _opened(node) if node.is_block else _scale_and_shift(node)
        network = copy if network.output == node.output else network.clone(
            C.CloneMethod.share, {node.output: copy.output, **{x: x for x in network.arguments}})


def _nodes(network, depth=0):
    """The operations of a network; with depth -1 also those inside blocks."""
    return [node.root_function for node in C.logging.graph.depth_first_search(
        network, lambda node: isinstance(node, C.Function), depth=depth)]


def _normalizes(node):
    """Whether an operation is batch normalisation, or a block with one inside."""
    if node.is_block:
        return any(map(_normalizes, _nodes(C.as_composite(node.block_root))))
    return node.op_name == 'BatchNormalization'


def _opened(block):
    """What is inside a block, with the inputs of the block."""
    return C.as_composite(block.block_root).clone(
        C.CloneMethod.share, dict(block.block_arguments_mapping))


def _scale_and_shift(node):
    """Batch normalisation by the running statistics."""
    x, gain, bias, mean, variance = node.inputs[:5]
    scale = gain / C.sqrt(variance + node.attributes['epsilon'])
    scale, shift = scale.eval(), (bias - mean * scale).eval()
    if node.attributes['spatial']:              # a number for each channel
        scale, shift = (v.reshape((-1,) + (1,) * (len(x.shape) - 1)) for v in (scale, shift))
    # For each pixel, because CNTK broadcasts slowly. A Minus, because at a Plus before a leaky ReLU
    # CNTK may fail ('Cannot find input').
    scale, less = (C.constant(v + np.zeros(x.shape, v.dtype)) for v in (scale, -shift))
    return x * scale - less


class Distance:
    """The distance that `project` minimises, and its gradient with respect to the latents."""

    def __init__(self, network, critic, latents, labels):
        """latents, labels: some, whose images decide the scale of the critic's features."""
        from symbolic_gradient import safe_to_differentiate     # loads CNTK
        latent, label = latent_input(network), label_input(network)
        self._latent = C.input_variable(latent.shape, needs_gradient=True)
        self._label = None if label is None else C.input_variable(label.shape)
        image = _frozen(safe_to_differentiate(in_evaluation_mode(network)),
                        {latent: self._latent, label: self._label})
        self._picture = C.input_variable(image.shape)
        length = C.sqrt(C.reduce_sum(C.square(self._latent), axis=0) + 1e-12)
        distance = _mean_square(image - self._picture) + SPHERE * C.square(
            length - np.sqrt(latent.shape[0]))
        self._features, self._of_picture = None, []
        if critic is not None:
            features = C.combine(_convolutions(in_evaluation_mode(critic)))
            self._features, of_image = (_frozen(features, {
                data_input(critic): x, label_input(critic): self._label})
                for x in (self._picture, image.output))
            typical = _evaluate(of_image, self._feed(labels[:TYPICAL], {
                self._latent: latents[:TYPICAL]}))
            self._of_picture = [C.input_variable(y.shape) for y in of_image.outputs]
            for layer, target, values in zip(of_image.outputs, self._of_picture, typical):
                scale = FEATURES / len(typical) / max(np.square(values).mean(), 1e-12)
                distance = distance + scale * _mean_square(layer - target)
        self._distance = distance

    def of(self, pictures, labels):
        """Returns a function from latents (N, n) to (distances (N,), gradients (N, n))."""
        feed = self._feed(labels, {self._picture: pictures})
        if self._features is not None:
            feed.update(zip(self._of_picture, _evaluate(self._features, feed)))

        def function(latents):
            gradients, distances = self._distance.grad(
                {**feed, self._latent: latents}, wrt=[self._latent],
                outputs=[self._distance.output])
            if not (np.isfinite(gradients).all() and np.isfinite(distances).all()):
                raise UserError('the distance of the images, or its gradient, is NaN or infinite: '
                                'the weights of the generator or of its critic are not usable')
            return distances.reshape(-1), gradients
        return function

    def _feed(self, labels, feed):
        return feed if self._label is None else {**feed, self._label: labels}


def minimize(function, z, steps, show):
    """Minimises a function of each row of z by Adam (Kingma and Ba 2015,
    https://arxiv.org/abs/1412.6980, algorithm 1), with a step that falls from RATE to 0.

    function: from z to (values, gradients). show: called with the number of finished steps.
    Returns (z, values).
    """
    mean, square = np.zeros_like(z), np.zeros_like(z)
    for step in range(1, steps + 1):
        _, gradients = function(z)
        mean = BETA1 * mean + (1 - BETA1) * gradients
        square = BETA2 * square + (1 - BETA2) * gradients ** 2
        rate = RATE * (1 + np.cos(np.pi * step / steps)) / 2
        z = (z - rate * (mean / (1 - BETA1 ** step)) / (
            np.sqrt(square / (1 - BETA2 ** step)) + 1e-8)).astype(np.float32)
        show(step)
    return z, function(z)[0]


def _draw(network, labels, starts, seed):
    """Draws about DRAWN latents, the same for each label. Returns (latents, labels)."""
    count = max(-(-DRAWN // len(labels)), starts)
    latents = draw_latents(count, latent_input(network).shape[0], seed)
    return np.tile(latents, (len(labels), 1)), labels.repeat(count, axis=0)


def _nearest(network, pictures, drawn, drawn_labels, parts, starts, name):
    """Returns the indices of the drawn latents whose images are the nearest to each picture, when
    shrunk to COMPARED pixels: so many as `starts` of each label, (N, labels · starts).
    """
    size, images = max(1, PIXELS // np.prod(pictures.shape[2:])), []
    progress = Progress('drawing starts', len(drawn))
    for batch in generate_batches(network, drawn, size, name, drawn_labels):
        images.append(_shrunk(batch))
        progress.show(sum(map(len, images)))
    progress.end('%d latents to start from' % len(drawn))
    images, count = np.concatenate(images), len(drawn) // parts
    distances = np.stack([np.square(images - picture).sum(axis=1)
                          for picture in _shrunk(pictures)]).reshape(len(pictures), parts, count)
    nearest = distances.argsort(axis=2, kind='stable')[:, :, :starts]
    return (nearest + count * np.arange(parts)[:, None]).reshape(len(pictures), -1)


def _shrunk(images):
    """(N, C, S, S) → (N, values), of at most COMPARED pixels a side."""
    side = min(COMPARED, images.shape[2])
    return shrunk(np.moveaxis(images, 1, 3), side).reshape(len(images), -1)


def _convolutions(critic):
    """The outputs of a critic's convolutions, its features."""
    return [node.output for node in _nodes(critic, depth=-1)
            if node.op_name == 'Convolution' and not node.is_block]


def _frozen(network, arguments):
    """A copy of a network with constant weights. arguments: {old: new}; those of None stay out."""
    return network.clone(C.CloneMethod.freeze, {
        old: new for old, new in arguments.items() if old is not None})


def _mean_square(x):
    return C.reduce_mean(C.square(C.reshape(x, (-1,))), axis=0)


def _evaluate(functions, feed):
    """The values of all outputs, a list of arrays."""
    values = functions.eval({x: feed[x] for x in functions.arguments})
    return [values[y] for y in functions.outputs] if isinstance(values, dict) else [values]
