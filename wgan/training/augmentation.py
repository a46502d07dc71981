"""Differentiable augmentation: random changes of real and generated images.

Zhao et al. 2020, 'Differentiable Augmentation for Data-Efficient GAN Training',
https://arxiv.org/abs/2006.10738: the critic sees only T(x) and T(G(z)) (equations 4 to 6), so it
can't memorise a few images. The generator is trained through T, so it does not learn T. The policy
is the paper's for few images: colour, translation, cutout, with the ranges of its code.

Adaptive augmentation makes each change with a probability only, which follows how far the critic
overfits: Karras et al. 2020, 'Training Generative Adversarial Networks with Limited Data',
https://arxiv.org/abs/2006.06676.
"""

from wgan.machine.cntk import C

import numpy as np

TRANSLATION = 1 / 8                     # largest shift, as a fraction of the image's width
CUTOUT = 1 / 2                          # side of the grey square, as a fraction of the width
# Training images in which the probability of a change can grow from 0 to 1: that of the authors'
# code for short trainings (train.py, ada_kimg of a resumed run).
ADAPTATION = 100000
MEMORY = 0.99                           # decay of the means that decide, per iteration


class Probability:
    """Probability of each change of an image, for the Augmentations that share it.

    target: the overfitting to keep to, or None for a probability that stays. value: the
    probability; at the start None stands for 1 or, with a target, 0.
    """

    def __init__(self, target=None, value=None):
        self.target, self.value = target, value
        if value is None:
            self.value = 1.0 if target is None else 0.0
        self._gap = self._distance = 0.0

    def adapt(self, gap, distance, samples):
        """Follows the overfitting r_v = gap / distance of Karras et al. 2020, equation 1, with the
        means of both over about the last 100 calls.

        gap: mean score of training images, less that of held-out images. distance: mean score of
        training images, less that of generated images. samples: size of the minibatch.
        """
        self._gap = MEMORY * self._gap + (1 - MEMORY) * gap
        self._distance = MEMORY * self._distance + (1 - MEMORY) * distance
        overfits = self._gap > self.target * self._distance
        step = samples / ADAPTATION
        self.value = min(max(self.value + (step if overfits else -step), 0.0), 1.0)

    def array(self):
        """The state as an array, for a checkpoint."""
        return np.array([self.value, self._gap, self._distance])

    def restore(self, array):
        """Inverse of `array`."""
        self.value, self._gap, self._distance = map(float, array)


class Augmentation:
    """T: image → changed image, as a CNTK graph that is linear in the image.

    shape: (colours, S, S) of the image, whose values are in [-1, 1]; colours: 3, or 1 for grey.
    probability: of each change; None: 1.
    draws: {input: function(rng, samples) that draws a value for each sample}.
    """

    def __init__(self, shape, probability=None):
        self.shape, self.size = shape, shape[1]
        self.probability = probability or Probability()
        self.margin = int(self.size * TRANSLATION + 0.5)
        self.brightness, self.saturation, self.contrast = (
            C.input_variable((1, 1, 1), name=name)
            for name in ('brightness', 'saturation', 'contrast'))
        self.window = C.input_variable((1, 4), name='window')
        self.mask = C.input_variable(shape, name='mask')
        centre = np.array([self.margin, self.margin] + [self.margin + self.size - 1] * 2)
        self.draws = {variable: self._sometimes(draw, neutral) for variable, draw, neutral in (
            (self.brightness, _evenly(-0.5, 0.5), 0), (self.saturation, _evenly(0, 2), 1),
            (self.contrast, _evenly(0.5, 1.5), 1), (self.window, self._draw_window, centre),
            (self.mask, self._draw_mask, 1))}

    def __call__(self, image):
        return self.cut_out(self.translate(self.colour(image)))

    def colour(self, x):
        """Changes brightness, then saturation, then contrast."""
        x = x + self.brightness
        grey = C.reduce_mean(x, axis=0)
        x = grey + self.saturation * (x - grey)
        mean = C.reduce_mean(x, axis=(0, 1, 2))
        return mean + self.contrast * (x - mean)

    def translate(self, x):
        """Shifts the image, and fills the edge with grey, 0.

        ROI pooling takes a different window of each sample. Window and output have the same size,
        so that each region is one pixel.
        """
        edge = (self.margin, self.margin)
        x = C.pad(x, [(0, 0), edge, edge])
        pooled = C.roipooling(x, self.window, C.MAX_POOLING, (self.size, self.size), 1.0)
        return C.reshape(pooled, self.shape)

    def cut_out(self, x):
        """Makes a square of the image grey, 0."""
        return x * self.mask

    def _sometimes(self, draw, neutral):
        """Returns a function that draws, and gives a sample the neutral value where it is not to
        be changed.
        """
        def draw_or_leave(rng, samples):
            drawn = draw(rng, samples)
            if self.probability.value < 1:
                drawn[rng.uniform(size=len(samples)) >= self.probability.value] = neutral
            return drawn
        return draw_or_leave

    def _draw_window(self, rng, samples):
        """Draws windows (left, top, right, bottom) of the padded image."""
        corner = rng.randint(0, 2 * self.margin + 1, (len(samples), 1, 2))
        return np.concatenate([corner, corner + self.size - 1], axis=2).astype(np.float32)

    def _draw_mask(self, rng, samples):
        """Draws masks: 0 in a square, which may be partly outside of the image, 1 elsewhere."""
        side = int(self.size * CUTOUT + 0.5)
        top, left = rng.randint(0, self.size + 1 - side % 2, (2, len(samples), 1)) - side // 2
        pixels = np.arange(self.size)
        inside = [(pixels >= start) & (pixels < start + side) for start in (top, left)]
        mask = ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])
        return np.repeat(mask, self.shape[0], axis=1).astype(np.float32)


class Unchanged:
    """The identity, in the place of an Augmentation."""

    draws = {}

    def __call__(self, image):
        return image


def _evenly(low, high):
    return lambda rng, samples: rng.uniform(low, high, (len(samples), 1, 1, 1)).astype(np.float32)
