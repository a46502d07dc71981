"""Runs that go wrong in known ways, and a sound one: the pictures of docs/looks_wrong.md.

    .venv/bin/python experiments/looks_wrong.py --data data/drawn --out runs/wrong

Each case is the sound run with a few settings changed, or with other images. Writes OUT/CASE.jpg:
images of the run, and a column of its wgan.csv beside that of the sound run. Prints what the page
of the run says. A run that OUT has already is not trained again.
"""

import os
import subprocess
import sys

from _root import ROOT
from wgan.datasets.image_decoder import ImageReader
from wgan.datasets.images import ImageSet, grid, write_image
from wgan.machine.command_line import Parser, Progress, UserError, number, one_line, run
from wgan.pictures.animation import find_grids
from wgan.pictures.findings import findings
from wgan.pictures.plotting import new_figure, read_losses, save_figure
from wgan.pictures.sample_numbers import ratios, tiles

import cv2
import numpy as np

SIZE, SHOWN = 32, 16
SOUND = {'iterations': 300, 'image-size': SIZE, 'width': 8, 'learning-rate': 5e-4, 'beta2': 0.9,
         'n-critic': 3, 'brightness': 0, 'contrast': 0, 'saturation': 0, 'ema': 0}
# Images of --data that are turned by up to TURN degrees, so that they have black corners.
TURNED, TURN = 'turned', 30
# Case → (what is changed, the column that is drawn).
CASES = {
    'sound': ({}, 'wasserstein'),
    'grey': ({'iterations': 6}, 'wasserstein'),
    'woven': ({'iterations': 40}, 'wasserstein'),
    'one_face': ({'objective': 'gan', 'learning-rate': 1e-3, 'beta1': 0.9, 'n-critic': 1,
                  'iterations': 200}, 'D_fake'),
    'noise': ({'objective': 'gan', 'learning-rate': 2e-2, 'n-critic': 1, 'iterations': 200},
              'D_fake'),
    'dark_corners': ({'data': TURNED, 'iterations': 200}, 'wasserstein'),
    'exploding': ({'penalty-weight': 0, 'iterations': 80}, 'grad_norm'),
    'standing_still': ({'objective': 'gan', 'minimax': None, 'n-critic': 5, 'iterations': 100},
                       'D_fake'),
}


def train(folder, settings):
    """Trains a run with these settings, {option: value, or None for a switch}."""
    if os.path.exists(os.path.join(folder, 'wgan_generator.model')):
        return
    arguments = ['--' + name if value is None else '--%s=%s' % (name, value)
                 for name, value in settings.items()]
    # One grid and one checkpoint, at the end.
    result = subprocess.run(
        [sys.executable, os.path.join(ROOT, 'wgan_training.py'), '--out', folder, '--overwrite',
         '--sample-every', '1000000', '--checkpoint-every', '1000000'] + arguments,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if result.returncode:
        raise UserError('the training of %s ended with code %d: %s' % (
            one_line(folder), result.returncode, one_line(result.stderr.decode(
                errors='replace').strip().split('\n')[-1])))


def write_turned(images, folder):
    """Writes the images, turned, into a folder."""
    rng = np.random.RandomState(0)
    os.makedirs(folder, exist_ok=True)
    for i in range(len(images)):
        turn = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), rng.uniform(-TURN, TURN), 1)
        write_image(os.path.join(folder, '%06d.png' % i),
                    cv2.warpAffine(images[i], turn, (SIZE, SIZE)))


def sample_grid(folder):
    """The last sample grid of a run, as SHOWN images beside each other."""
    _, last = find_grids(folder)[-1]
    return grid(tiles(ImageReader().read(last), SIZE)[:2 * SHOWN], SHOWN, border=1)


def draw(path, images, column, curves):
    """Writes a picture of sample images above the curves, {name: Series by step}."""
    figure = new_figure(8, 2.9)
    above, below = figure.subplots(2, 1, gridspec_kw={'height_ratios': [1.15, 1]})
    above.imshow(images, interpolation='nearest')
    above.axis('off')
    for name, curve in curves.items():
        below.plot(curve.index, curve.values, linewidth=0.9, label=name)
    below.set_ylabel(column)
    below.set_xlabel('iteration')
    below.grid(alpha=0.3)
    below.legend(fontsize=8)
    figure.tight_layout()
    save_figure(figure, path, dpi=80)


def main():
    parser = Parser(description='Train runs that go wrong, and show what it looks like.')
    parser.add_argument('--data', default='data/drawn', help='folder of images')
    parser.add_argument('--out', default='runs/wrong', help='folder for the runs and the pictures')
    parser.add_argument('--most', type=number(int, 1), default=10 ** 6, metavar='N',
                        help='train for at most N iterations')
    options = parser.parse_args()
    turned = os.path.join(options.out, TURNED)
    if not os.path.isdir(turned):
        write_turned(ImageSet(options.data, SIZE), turned)
    tables, progress = {}, Progress('trainings', len(CASES))
    for i, (case, (changes, column)) in enumerate(CASES.items()):
        folder = os.path.join(options.out, case)
        settings = dict(SOUND, data=options.data, **{'batch-size': 16})
        settings.update(changes)
        settings['iterations'] = min(settings['iterations'], options.most)
        if settings['data'] == TURNED:
            settings['data'] = turned
        train(folder, settings)
        tables[case] = read_losses(os.path.join(folder, 'wgan.csv')).set_index('step')
        shown = {name: tables[name][column] for name in dict.fromkeys(['sound', case])
                 if column in tables[name]}
        draw(os.path.join(options.out, case + '.jpg'), sample_grid(folder), column, shown)
        progress.show(i + 1)
        print(case)
        for finding in findings(tables[case].reset_index(), None,
                                ratios(folder, SIZE, ImageReader())):
            print('  %s %s' % ({True: 'good:', False: 'bad: ', None: 'open:'}[finding.good],
                               finding.sentence))
    progress.end('%d trainings in %s' % (len(CASES), one_line(options.out)))


if __name__ == '__main__':
    run(main)
