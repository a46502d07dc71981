"""Every program in bench/, experiments/ and data/ runs, in its smallest form."""

import glob
import os
import subprocess
import sys

from helpers import ROOT, TESTS, TINY, call_program, onnx_network, write_images
from wgan.datasets.images import write_image
from wgan.training.objectives import OBJECTIVES

from draw_faces import draw_face

import numpy as np
import pytest

from test_download_images import server  # noqa: F401

pytestmark = pytest.mark.slow


def is_program(path):
    with open(path) as file:
        return "__name__ == '__main__'" in file.read()


PROGRAMS = [path for path in sorted(
    os.path.relpath(path, ROOT) for folder in ('bench', 'data', 'experiments')
    for path in glob.glob(os.path.join(ROOT, folder, '*.py'))) if is_program(os.path.join(
        ROOT, path))]
# Without a Python that has torch, its place is taken by this one with a stand-in.
PYTHON = os.environ.get('PYTORCH_PYTHON')
PEER = {} if PYTHON else {'PYTHONPATH': os.path.join(TESTS, 'programs', 'peer')}
FIGURE = ['--out', 'x.png', '--iterations', 2]
SPEED = ['--data', 'pics', '--sizes', 32, '--batch-size', 4, '--rounds', 1, '--out', 'x.md',
         '--pytorch', PYTHON or sys.executable]
SCORED = ['--inception', 'net.onnx', '--count', 10]

# Program → (its arguments, what it says or writes at the end).
SMALLEST = {
    'bench/data_set_size.py': (['--data', 'pics', '--image-size', 32, '--counts', 20],
                               '| 20 | at the start |'),
    'bench/gpu_check.py': (['--devices', 'cpu', 'cpu', '--sizes', 32, '--width', 2, '--parts',
                            'single_operations'], '0 of '),
    'bench/gpu_today.py': (['--out', 'x', '--device', 'cpu', '--smallest'],
                           'the same bits twice: yes'),
    'bench/scoring.py': (['pics', '--inception', 'net.onnx', '--count', 32, '--rounds', 1],
                         'ratio '),
    'bench/several_processes.py': (['--data', 'pics', '--image-size', 32, '--batch-size', 4,
                                    '--iterations', 3, '--rounds', 1], '| 2 | '),
    'bench/speed.py': (SPEED, 'images a second'),
    'bench/speed_cntk.py': (
        ['layers', 32, 4, 'dcgan', 'wgan-gp', 'cpu', 'full', 'pics'], 'layer norm'),
    'bench/speed_pytorch.py': (
        ['layers', 32, 4, 'dcgan', 'wgan-gp', 'cpu', 'full', 1, 'channels_last'], 'layer norm'),
    'data/convert_inception.py': (['--out', 'x.onnx', '--weights', 'missing'], 'error: '),
    'data/download_images.py': (['list.txt', '--out', 'x'], '1 images in x'),
    'data/draw_faces.py': (['--out', 'x', '--count', 2], '2 faces'),
    'data/make_names.py': (['--out', 'x.txt', '--count', 20], '20 names'),
    'data/prepare_faces.py': (['photos', '--out', 'x', '--size', 32], 'faces'),
    'experiments/averaging.py': (['--data', 'pics', '--every', 1, '--points', 1, '--run', 'x']
                                 + SCORED, 'FID: raw'),
    'experiments/compare_objectives.py': (
        ['--data', 'pics', '--out', 'x', '--width', 2, '--iterations', 1], 'comparison.png'),
    'experiments/critic_slopes.py': (FIGURE, 'x.png'),
    'experiments/critic_surfaces.py': (FIGURE, 'x.png'),
    'experiments/equal_time.py': (['settings', '--data', 'pics', '--width', 2, '--seconds', 0.01,
                                   '--seeds', 1, '--out', 'x.csv'] + SCORED,
                                  '| n_critic 1, step 2e-4, β2 0.99 | '),
    'experiments/fed_penalty.py': (['--data', 'pics', '--iterations', 10, '--out', 'x.png'],
                                   'penalty in the graph: mean of the last 2'),
    'experiments/fid_and_count.py': (['run', '--data', 'pics', '--out', 'x.png'] + SCORED,
                                     '| real, against as many other real | '),
    'experiments/four_penalties.py': (['--data', 'pics', '--seconds', 0.01, '--draws', 2,
                                       '--out', 'x.png'] + SCORED, '| exact, one-sided | '),
    'experiments/kill_and_resume.py': (['--runs', 2], '2 of 2 runs were the same'),
    'experiments/label_accuracy.py': (['labelled', '--data', 'map.txt', '--count', 8,
                                       '--iterations', 2], 'of generated ones'),
    'experiments/looks_wrong.py': (['--data', 'pics', '--out', 'x', '--most', 1],
                                   '8 trainings in x'),
    'experiments/loss_and_quality.py': (['--data', 'pics', '--count', 12] + FIGURE, 'x.png'),
    'experiments/mean_of_weights.py': (
        ['run', 'run', '--data', 'pics', '--out', 'x.model'] + SCORED, '| their mean | '),
    'experiments/modes_found.py': (FIGURE, 'x.png'),
    'experiments/networks_that_train.py': (
        ['--data', 'pics', '--objectives', 'wgan-gp', '--seconds', 0.01, '--out', 'x.png'],
        'deep residual'),
    'experiments/optimal_discriminator.py': (FIGURE, 'x.png'),
    'experiments/parallel_lines.py': (FIGURE, 'x.png'),
    'experiments/score_order.py': (['run'] + SCORED, 'untrained'),
    'experiments/vanishing_gradient.py': (['--data', 'pics'] + FIGURE, 'x.png'),
}

# Those that print numbers of all objectives.
COMPARING = ['experiments/%s.py' % name
             for name in ('parallel_lines', 'modes_found', 'loss_and_quality')]


@pytest.mark.parametrize('program', [
    'data/draw_faces', 'data/prepare_faces', 'data/make_names', 'data/download_images',
    'plot_losses', 'wgan_animate', 'wgan_page'])
def test_what_computes_nothing_does_without_cntk(program):
    """A process pool that forks must not have it, and it takes a second."""
    folder, name = os.path.split(os.path.join(ROOT, program))
    said = subprocess.check_output([
        sys.executable, '-c', 'import sys, %s; print("cntk" in sys.modules)' % name],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join([folder, ROOT])))
    assert said == b'False\n'


@pytest.fixture(scope='module')
def material(tmp_path_factory):
    """A folder with what the programs above are called on."""
    folder, before = tmp_path_factory.mktemp('material'), os.getcwd()
    os.chdir(str(folder))
    try:
        write_images(folder / 'pics', count=48)
        (folder / 'map.txt').write_text(''.join(
            'pics/%d.png\t%s\n' % (i, 'ab'[i % 2]) for i in range(48)))
        (folder / 'photos').mkdir()
        write_image('photos/face.png', draw_face(200, np.random.RandomState(2))[0])
        onnx_network('net.onnx')
        for data in (['--data', 'pics', '--out', 'run'],
                     ['--data', 'map.txt', '--labels', 'map', '--out', 'labelled']):
            assert call_program('wgan_training.py', *data, '--iterations', 1, *TINY) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.mark.parametrize('program', PROGRAMS)
def test_smallest_form(program, material, command, server, tmp_path):       # noqa: F811
    assert program in SMALLEST, 'add how %s is called in its smallest form' % program
    arguments, said = SMALLEST[program]
    for name in os.listdir(str(material)):
        os.symlink(str(material / name), str(tmp_path / name))
    (tmp_path / 'list.txt').write_text(server.address + 'good/1\n')
    result = command(program, *arguments, **PEER)
    if program == 'data/convert_inception.py':
        assert result.code == 2 and said in result.err
    else:
        assert result.code == 0 and said in result.out + result.err, result.err
        if 'x.png' in arguments:
            assert (tmp_path / 'x.png').stat().st_size > 5000
        if program in COMPARING:
            assert all(objective in result.out for objective in OBJECTIVES)
