"""The four penalties of experiments/penalties.py, against PyTorch in float64 (penalties.npz)."""

import os

from helpers import TESTS

from four_penalties import gradient_errors, reference_critic, relative_error
from penalties import PENALTIES, loss_gradients

import numpy as np
import pytest


@pytest.fixture(scope='module')
def reference():
    with np.load(os.path.join(TESTS, 'penalties.npz'), allow_pickle=False) as saved:
        return dict(saved)


@pytest.mark.slow
@pytest.mark.parametrize('name', list(PENALTIES))
@pytest.mark.parametrize('dtype, tolerance', [(np.float64, 1e-8), (np.float32, 1e-3)])
def test_gradients_equal_pytorch(reference, name, dtype, tolerance):
    critic = reference_critic(reference, dtype)
    found = loss_gradients(PENALTIES[name], critic, reference['real'].shape[1:])(reference)
    assert relative_error(found, reference, name) < tolerance


@pytest.mark.slow
def test_only_exact_penalties_have_the_gradient_that_is_meant(reference):
    """Norms on both sides of 1, so that the one-sided penalty is another one."""
    assert reference['norm'].min() < 0.9 and reference['norm'].max() > 1.1
    for name, (one, mean) in gradient_errors(reference, draws=20).items():
        assert (one < 1e-4) == (mean < 1e-4) == name.startswith('exact'), (name, one, mean)
