"""The experiments that no other test runs: once each, on little."""

import pytest

from helpers import SMALL, onnx_network, write_images

pytestmark = pytest.mark.slow


def test_penalty_as_a_number(script, tmp_path):
    write_images(tmp_path / 'pics', count=16)
    result = script('fed_penalty.py', '--data', 'pics', '--iterations', 10, '--out', 'x.png')
    assert result.code == 0, result.err
    assert 'penalty in the graph: mean of the last 2' in result.out
    assert (tmp_path / 'x.png').stat().st_size > 5000


def test_gradients_of_a_deep_critic(script, tmp_path):
    assert script('critic_slopes.py', '--iterations', 2, '--out', 'x.png').code == 0
    assert (tmp_path / 'x.png').stat().st_size > 5000


def test_order_of_the_scores(script, tmp_path):
    write_images(tmp_path / 'pics', count=24)
    onnx_network(str(tmp_path / 'net.onnx'))
    assert script('wgan_training.py', '--data', 'pics', '--out', 'run', '--iterations', 1,
                  *SMALL).code == 0
    result = script('score_order.py', 'run', '--inception', 'net.onnx', '--count', 12)
    assert result.code == 0, result.err
    assert [line.split()[0] for line in result.out.splitlines()[-4:]] == [
        'real,', 'trained', 'untrained', 'noise']
