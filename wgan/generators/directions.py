"""Directions in the latent space that change the images of a generator most."""

from wgan.generators.evaluation import label_input, latent_input
from wgan.machine.cntk import C

import numpy as np

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


def first_weights(network):
    """The weights that the first dense layer multiplies the latent with, float64 (latent size,
    outputs); None without such a layer. Those of labels, which are joined to the latent, are left
    out.
    """
    layers = [f for f in C.logging.graph.depth_first_search(
        network, lambda node: isinstance(node, C.Function)) if f.op_name in DENSE]
    if not layers:
        return None
    # What the layer makes of unit vectors are the rows, however the file stores them.
    latent, label = latent_input(network), label_input(network)
    latents = np.eye(latent.shape[0] + 1, latent.shape[0], dtype=np.float32)
    feed = {latent: latents}
    if label is not None:
        feed[label] = np.zeros((len(latents), label.shape[0]), np.float32)
    made = C.combine([layers[-1].output]).eval(feed).reshape(len(latents), -1).astype(float)
    return made[:-1] - made[-1]
