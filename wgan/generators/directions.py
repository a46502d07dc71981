"""Directions that change the images of a generator: of its latents, and from label to label."""

from wgan.generators.evaluation import label_input, latent_input
from wgan.generators.latents import walk
from wgan.datasets.labels import one_hot
from wgan.machine.cntk import C

import numpy as np

FURTHEST = 3.0          # along a direction; a number of a latent is drawn from N(0, 1)
DENSE = ('Dense', 'Times', 'MatMul')    # what a dense layer is called, in CNTK's files and in ONNX


def directions(network, count):
    """The strongest directions: unit vectors, float32 (count, latent size). There are fewer if
    the latent is smaller, and none if the generator has no dense layer.

    z changes the output of the first layer, W z + b, by W n if it moves by a unit vector n. The
    n that change it most are the eigenvectors of WᵀW with the largest eigenvalues (Shen and Zhou
    2021, 'Closed-Form Factorization of Latent Semantics in GANs', https://arxiv.org/abs/2007.06600,
    equation 4).
    """
    weights = first_weights(network)
    if weights is None:
        return np.zeros((0, latent_input(network).shape[0]), np.float32)
    _, vectors = np.linalg.eigh(weights @ weights.T)
    vectors = vectors[:, ::-1].T[:count]
    # The sign of an eigenvector is free: here its largest number is positive.
    signs = np.sign(vectors[np.arange(len(vectors)), np.abs(vectors).argmax(axis=1)])
    return (signs[:, None] * vectors).astype(np.float32)


def direction_rows(latent, vectors, label, pairs, steps):
    """The input for rows of images: (latents (rows, steps, N), label vectors (rows, steps, K)).

    There is a row for each of `vectors`: the latent moves along it, from -FURTHEST to FURTHEST, and
    keeps the label vector `label`. Then one for each of `pairs`: the latent stays, and the label
    vector moves as in `from_label_to_label`.
    """
    shifts = np.linspace(-FURTHEST, FURTHEST, steps, dtype=np.float32)[:, None]
    moved = latent + shifts * vectors[:, None]
    return (np.concatenate([moved, np.tile(latent, (len(pairs), steps, 1))]),
            np.concatenate([np.tile(label, (len(vectors), steps, 1)),
                            from_label_to_label(pairs, len(label), steps)]))


def from_label_to_label(pairs, count, steps):
    """Label vectors on the way from a label to another: float32 (pairs, steps, count).

    pairs: [(number of a label, number of another), …]. count: of all labels.
    The first layer computes W z + V c of a latent z and a label vector c. From label a to label b
    it changes by V (b - a) whatever z is: the difference of its means over the two labels.
    """
    ways = [walk(one_hot(pair, count), steps, True, False)[0] for pair in pairs]
    return np.array(ways, np.float32).reshape(len(pairs), steps, count)


def first_weights(network):
    """The weights that the first dense layer multiplies the latent with, float64 (latent size,
    outputs); None without such a layer. Those of labels, which are joined to the latent, are left
    out.
    """
    latent, label = latent_input(network), label_input(network)
    # A product of weights alone, as of the kernel of a residual network, is no layer.
    layers = [f for f in C.logging.graph.depth_first_search(
        network, lambda node: isinstance(node, C.Function))
        if f.op_name in DENSE and latent in C.combine([f.output]).arguments]
    if not layers:
        return None
    # What the layer makes of unit vectors are the rows, however the file stores them.
    latents = np.eye(latent.shape[0] + 1, latent.shape[0], dtype=np.float32)
    feed = {latent: latents}
    if label is not None:
        feed[label] = np.zeros((len(latents), label.shape[0]), np.float32)
    made = C.combine([layers[-1].output]).eval(feed).reshape(len(latents), -1).astype(float)
    return made[:-1] - made[-1]
