"""The converter of Inception-v3. It needs a newer Python than CNTK, with PyTorch: the tests that
run it whole take one from the variable PYTORCH_PYTHON.
"""

import os
import subprocess

import numpy as np
import pytest

from helpers import ROOT, TESTS
from wgan.scores.image_network import ImageNetwork

DATA = os.path.join(ROOT, 'data')
MAKE_WEIGHTS = os.path.join(TESTS, 'programs', 'inception_weights.py')
PYTHON = os.environ.get('PYTORCH_PYTHON')
with_pytorch = pytest.mark.skipif(not PYTHON, reason='PYTORCH_PYTHON names no Python that has '
                                  'torch, onnx and onnxruntime')


@pytest.fixture
def convert(tmp_path):
    """Run the converter on weights of so many classes, in that Python."""
    def call(classes, *arguments):
        environment = dict(os.environ, PYTHONPATH=DATA)
        subprocess.run([PYTHON, MAKE_WEIGHTS, str(classes)], cwd=str(tmp_path), check=True,
                       env=environment)
        return subprocess.run([PYTHON, os.path.join(DATA, 'convert_inception.py'), '--weights',
                               'weights.pth'] + list(arguments), cwd=str(tmp_path),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return call


@with_pytorch
@pytest.mark.parametrize('classes, scale, resize', [
    (1008, 'inception', 'tensorflow1'), (1000, 'torchvision', 'opencv')])
def test_conversion(convert, tmp_path, classes, scale, resize):
    """The converter holds its file against PyTorch; here, CNTK and ONNX Runtime read it alike."""
    result = convert(classes, '--out', 'i.onnx', '--unverified')
    assert result.returncode == 0, result.stderr.decode()
    images = np.random.RandomState(0).randint(0, 256, (5, 64, 64, 3)).astype(np.uint8)
    networks = [ImageNetwork(str(tmp_path / 'i.onnx'), e) for e in ('onnxruntime', 'cntk')]
    for network in networks:
        assert (network.scale, network.resize) == (scale, resize)
        assert (network.features, network.classes) == ('pool', 'logits_unbiased')
    (features, probabilities), (same_features, same_probabilities) = (n(images) for n in networks)
    assert features.shape == (5, 12) and probabilities.shape == (5, classes)
    np.testing.assert_allclose(same_features, features, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(same_probabilities, probabilities, rtol=1e-4, atol=1e-7)


@with_pytorch
def test_weights_are_checked(convert, tmp_path):
    result = convert(1000, '--out', 'i.onnx')
    assert result.returncode == 2 and not (tmp_path / 'i.onnx').exists()
    assert b'weights.pth is none of the published weights' in result.stderr


@with_pytorch
@pytest.mark.parametrize('arguments, said', [
    (['--out', 'there.onnx'], b'there.onnx exists already; --force'),
    (['--out', 'no/x.onnx'], b'no/x.onnx can not be written: the folder'),
    (['--out', 'x.onnx', '--network', 'fid'], b'give one'),
    (['--out', 'x.onnx', '--unverified', '--weights', 'there.onnx'], b'is no file of PyTorch'),
])
def test_before_the_conversion(convert, tmp_path, arguments, said):
    (tmp_path / 'there.onnx').write_bytes(b'mine')
    result = convert(1000, *arguments)
    assert result.returncode == 2 and said in result.stderr and b'Traceback' not in result.stderr
    assert sorted(os.listdir(str(tmp_path))) == ['there.onnx', 'weights.pth']
    assert (tmp_path / 'there.onnx').read_bytes() == b'mine'


@pytest.mark.slow
def test_without_pytorch(command):
    """In the Python of the suite it says what it needs."""
    assert 'pip install torch onnx onnxruntime' in command(
        'data/convert_inception.py', '--out', 'x.onnx').sentence
