"""What do the settings bring, and what the objectives, in equal time?

    taskset -c 0 .venv/bin/python experiments/equal_time.py settings --data data/faces \\
        --inception googlenet.onnx --scale raw --out settings.csv

Trains each row of a table below, with several seeds, for an equal processor time; then scores the
averaged generator. Writes a line of the CSV file for each training, and a row of images to the
folder of the same name (settings/); prints the means, and joins the rows of each seed
(settings/0.png). Called again, it goes on after the last line. taskset leaves one core to it: on
several, the time of all threads would be counted.
"""

import os

import _root  # noqa: F401
from wgan.machine.command_line import Parser, UserError, number, one_line, report, run
from wgan.machine.device import select_device

import numpy as np
import pandas as pd

from image_training import begin, train_for
from wgan.datasets.image_decoder import decode_image
from wgan.datasets.images import IMAGE_SIZES, ImageSet, grid, to_images, write_image
from wgan.datasets.labels import Labels
from wgan.generators.evaluation import generate
from wgan.generators.latents import draw_latents
from wgan.pictures.label_grid import label_grid
from wgan.scores.image_network import add_network_options, open_network
from wgan.scores.scoring import Generated, distances, measure
from wgan.scores.training_scores import SPLITS, TrainingImages
from wgan.training.objectives import OBJECTIVES
from wgan.training.options import flag, parse
from wgan.training.presets import PRESETS

SCORES = ['fid', 'precision', 'recall', 'coverage']
SHOWN = 12                      # images in a row
COLUMNS = ['row', 'seed', 'seconds', 'iterations'] + SCORES

# By name: options of wgan_training.py.
QUICK = ' '.join('%s %g' % (flag(name), PRESETS['quick'][name])
                 for name in ('n_critic', 'learning_rate', 'beta1', 'beta2'))
SETTINGS = {
    "article's": '',
    'n_critic 1, step 2e-4, β2 0.99': QUICK,
    'n_critic 1': '--n-critic 1',
    'step 2e-4': '--learning-rate 2e-4',
    'β2 0.99': '--beta2 0.99',
    'n_critic 1, step 2e-4': '--n-critic 1 --learning-rate 2e-4',
    'n_critic 1, β2 0.99': '--n-critic 1 --beta2 0.99',
    'n_critic 2': '--n-critic 2',
    'n_critic 3': '--n-critic 3',
}
OBJECTIVE_ROWS = {}
for _name, _objective in OBJECTIVES.items():
    OBJECTIVE_ROWS[_name] = _own = '--objective ' + _name
    _quick = _own + ' ' + QUICK
    if 'beta2' in _objective.settings and parse(_quick.split()) != parse(_own.split()):
        OBJECTIVE_ROWS[_name + ', quick'] = _quick
# What is better in a short training of `objectives`; of wgan-gp both.
BEST = {name: OBJECTIVE_ROWS[name] for name in (
    'wgan-gp', 'wgan-gp, quick', 'wgan', 'gan', 'dragan, quick', 'gan-r1', 'r3gan', 'sn-gan, quick',
    'ls-gan, quick')}
TABLES = {'settings': SETTINGS, 'objectives': OBJECTIVE_ROWS, 'best': BEST}


def train(options, faces, seconds):
    """Trains for a processor time. Returns (the averaged generator, iterations)."""
    updates, batches = begin(options, faces, ema=options.ema)
    step = train_for(seconds, updates, batches, options.n_critic, options.n_critic_boost)
    return updates.sample_generator, step


def read_results(path, seconds):
    """Returns the lines of the CSV file, none if it is new. Raises UserError if it is another
    experiment's.
    """
    if not os.path.exists(path):
        return pd.DataFrame(columns=COLUMNS)
    results = pd.read_csv(path)
    if list(results) != COLUMNS or not (results.seconds == seconds).all():
        raise UserError('%s has not the results of %g seconds; choose another --out'
                        % (one_line(path), seconds))
    return results


def join_rows(folder, names, seeds):
    """Writes, for each seed, the rows of images there are, with their names beside them."""
    for seed in range(seeds):
        paths = {name: row_path(folder, name, seed) for name in names}
        found = [name for name in names if os.path.exists(paths[name])]
        if found:
            strips = np.stack([decode_image(paths[name]) for name in found])
            write_image(os.path.join(folder, '%d.png' % seed), label_grid(strips, found, columns=1))


def row_path(folder, name, seed):
    return os.path.join(folder, '%d %s.png' % (seed, name))


def show(results, rows):
    """Prints the means over the seeds, and their range."""
    print('| settings | iterations | FID | precision, recall, coverage |')
    for name in rows:
        of_row = results[results.row == name]
        print('| %s | %.0f | %.0f (%.0f to %.0f) | %s |' % (
            name, of_row.iterations.mean(), of_row.fid.mean(), of_row.fid.min(), of_row.fid.max(),
            ', '.join('%.2f' % of_row[score].mean() for score in SCORES[1:])))


def main():
    parser = Parser(description='Compare settings or objectives after equal processor time.')
    parser.add_argument('table', choices=list(TABLES), help='settings of wgan-gp, each changed '
                        'alone, and some together; or objectives, with their defaults and with '
                        'the quick settings; or the best of these, for a longer time')
    parser.add_argument('--data', default='data/drawn', help='folder of images')
    parser.add_argument('--image-size', type=int, choices=IMAGE_SIZES, default=32,
                        help='width and height')
    parser.add_argument('--width', type=number(int, 1), default=16, help='as in wgan_training.py')
    parser.add_argument('--seconds', type=number(float, 0, above=True), default=100.0,
                        help='processor time of each training')
    parser.add_argument('--seeds', type=number(int, 1), default=3, help='trainings of each row')
    parser.add_argument('--count', type=number(int, SPLITS), default=1000,
                        help='generated images, and real ones, of each score')
    parser.add_argument('--out', required=True, help='CSV file to write, or to go on with')
    add_network_options(parser)
    options = parser.parse_args()
    results = read_results(options.out, options.seconds)
    network = open_network(options, select_device('auto'))
    faces = ImageSet(options.data, options.image_size)
    real = measure(TrainingImages(faces, options.count, 'the real images'), network, SPLITS, 32)

    rows, folder = TABLES[options.table], os.path.splitext(options.out)[0]
    os.makedirs(folder, exist_ok=True)
    for seed in range(options.seeds):
        for name, arguments in rows.items():
            if ((results.row == name) & (results.seed == seed)).any():
                continue
            report('seed %d: %s' % (seed, name))
            generator, iterations = train(parse(arguments.split() + [
                '--image-size', str(options.image_size), '--width', str(options.width), '--seed',
                str(seed)]), faces, options.seconds)
            latents = draw_latents(SHOWN, generator.arguments[0].shape[0], 0)
            write_image(row_path(folder, name, seed),
                        grid(to_images(generate(generator, latents, SHOWN)), columns=SHOWN))
            images = Generated(name, generator, options.count, 0, Labels([], []))
            found = distances(measure(images, network, SPLITS, 32), real, 0)
            results.loc[len(results)] = [name, seed, options.seconds, iterations] + [
                found[score] for score in SCORES]
            results.to_csv(options.out, index=False)
    join_rows(folder, rows, options.seeds)
    show(results, rows)


if __name__ == '__main__':
    run(main)
