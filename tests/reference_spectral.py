"""Spectral normalisation by PyTorch's own function, for the programs that compute reference values.
"""

import torch


class SpectralNorm:
    """Divides a weight, seen as a matrix of so many rows, by its spectral norm.

    A call with `iterate` has one power iteration first.
    """

    def __init__(self, size, rows, u):
        """size: of the weight, in numbers. u: the first vector to begin with, (rows,)."""
        self.layer = torch.nn.utils.spectral_norm(
            torch.nn.Linear(size // rows, rows, bias=False, dtype=torch.float64))
        self.layer.weight_u.copy_(torch.tensor(u))
        del self.layer._parameters['weight_orig']
        self.rows = rows

    @property
    def u(self):
        """The first vector, (rows,), as it is now."""
        return self.layer.weight_u

    def __call__(self, w, iterate):
        self.layer.weight_orig = w.reshape(self.rows, -1)
        norm, = self.layer._forward_pre_hooks.values()
        return norm.compute_weight(self.layer, do_power_iteration=iterate).reshape(w.shape)
