"""The critic of models.py, written again with PyTorch's own layers: for the programs that compute
reference values. It shares no code with the project.
"""

import torch
import torch.nn.functional as F


class Critic:
    """Images (N, 3, S, S) → scores (N,), in float64, with layer normalisation.

    weights: tensors by (name as in CNTK's layers, shape): no two parameters share both.
    """

    def __init__(self, image_size, width, rng, deviation, last_deviation):
        """rng: a RandomState. deviation: of the weights of the convolutions; last_deviation: of the
        dense layer.
        """
        self.rng, self.weights, self.layers, channels = rng, {}, [], 3
        for maps in (width * 2 ** i for i in range((image_size // 4).bit_length() - 1)):
            layer = {'W': self._weight('W', (maps, channels, 3, 3), 0, deviation),
                     'b': self._weight('b', (maps, 1, 1), 0, deviation)}
            if self.layers:
                layer.update(gain=self._weight('gain', (maps, 1, 1), 1, 0.2),
                             bias=self._weight('bias', (maps, 1, 1), 0, 0.2))
            self.layers.append(layer)
            channels = maps
        self.last = {'W': self._weight('W', (channels, 4, 4, 1), 0, last_deviation),
                     'b': self._weight('b', (1,), 0, 0.2)}

    def _weight(self, name, shape, mean, deviation):
        value = torch.tensor(self.rng.normal(mean, deviation, shape), requires_grad=True)
        self.weights[name + ' ' + 'x'.join(map(str, shape))] = value
        return value

    def __call__(self, x):
        for layer in self.layers:
            # CNTK pads one pixel more on the lower side when it halves an even size.
            x = F.conv2d(F.pad(x, (1, 0, 1, 0)), layer['W'], layer['b'].flatten(), stride=2)
            if 'gain' in layer:
                x = F.group_norm(x, 1, layer['gain'].flatten(), layer['bias'].flatten(), eps=1e-5)
            x = F.leaky_relu(x, 0.2)
        return (x.flatten(1) @ self.last['W'].flatten(0, 2) + self.last['b']).flatten()

    def slope(self, x):
        """The gradient of each image's score, (N, 3, S, S); it can be differentiated again."""
        slope, = torch.autograd.grad(self(x).sum(), x, create_graph=True)
        return slope

    def gradients(self, loss):
        """The gradient of a loss by each weight. One that has no part in it (the score's additive
        constant, in a slope) has the gradient 0.
        """
        gradients = torch.autograd.grad(loss, list(self.weights.values()), retain_graph=True,
                                        allow_unused=True)
        return {key: torch.zeros_like(value) if gradient is None else gradient
                for (key, value), gradient in zip(self.weights.items(), gradients)}
