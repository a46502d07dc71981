"""The same command gives the same run to the last bit, wherever in memory everything lies."""

import os

from helpers import assert_same_run, run_test_program, write_images

import pytest

pytestmark = pytest.mark.slow

# Networks of full width: small ones were equal by luck.
SMALL = ['--image-size', 32, '--n-critic', 2, '--iterations', 2]
IMAGES = ['--data', 'images'] + SMALL
LARGER = ['--data', 'images', '--image-size', 64, '--n-critic', 1, '--iterations', 2]
RUNS = {
    'wgan-gp': IMAGES, 'wgan': ['--objective', 'wgan'] + IMAGES,
    'gan': ['--objective', 'gan'] + IMAGES, 'dragan': ['--objective', 'dragan'] + IMAGES,
    'gan-r1': ['--objective', 'gan-r1'] + IMAGES, 'r3gan': ['--objective', 'r3gan'] + IMAGES,
    'sn-gan': ['--objective', 'sn-gan'] + IMAGES,
    'resnet': ['--network', 'resnet'] + IMAGES,
    'ls-gan': ['--objective', 'ls-gan'] + IMAGES, 'augment': ['--augment'] + IMAGES,
    'labels': ['--data', 'map.txt', '--labels', 'map'] + SMALL,
    'text': ['--data', 'lines.txt', '--text', '--width', 64, '--batch-size', 16,
             '--iterations', 2]}


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(str(tmp_path))
    write_images(tmp_path / 'images', count=20)
    (tmp_path / 'map.txt').write_text(''.join(
        'images/%d.png\t%s\n' % (i, 'ab'[i % 2]) for i in range(20)))
    (tmp_path / 'lines.txt').write_text(''.join(
        'line %d\n' % (i * i) for i in range(60)))
    return tmp_path


def trained(data, options, seed, padding=0, threads=2, runs='whole resumed'):
    """The folder of the runs that a process with its own addresses has written."""
    folder = data / ('process %d' % seed)
    folder.mkdir()
    for name in ('images', 'map.txt', 'lines.txt'):
        os.symlink(str(data / name), str(folder / name))
    os.chdir(str(folder))
    result = run_test_program('scattered.py', seed, *options, PYTHONHASHSEED=str(seed),
                              PADDING='x' * padding, THREADS=str(threads), RUNS=runs)
    assert result.code == 0, result.err
    return folder


@pytest.mark.parametrize('kind', sorted(set(RUNS) - {'wgan-gp'}))     # that is the last test
def test_addresses_decide_nothing(data, kind):
    """Not even with a checkpoint between."""
    folder = trained(data, RUNS[kind], seed=1)
    assert_same_run(folder / 'whole', folder / 'resumed')


def test_nor_does_the_process(data):
    """Other addresses, another order of Python's sets, a larger environment."""
    one, other = (trained(data, LARGER, seed, padding, runs='whole')
                  for seed, padding in ((2, 0), (3, 5000)))
    assert_same_run(one / 'whole', other / 'whole')


def test_nor_do_many_threads(data):
    """As many as a larger machine has: what each adds up is added in a fixed order."""
    folder = trained(data, RUNS['wgan-gp'], seed=4, threads=5)
    assert_same_run(folder / 'whole', folder / 'resumed')
