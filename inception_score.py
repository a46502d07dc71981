"""Score generated pictures: Inception Score, and distances to real ones (FID, KID).

    python inception_score.py runs/faces --inception inception.onnx --reference photographs
    python inception_score.py folder --inception inception.onnx

Scores can be compared if network, resize, scale, number of pictures and splits are the same; all
of them are printed.
"""

import json
import os
import platform

from command_line import Parser, Progress, UserError, number, run
from quiet_cntk import C, select_device

import numpy as np
import onnxruntime

import models
from faces import decode_picture, find_pictures, to_pictures
from image_network import add_network_options, open_network
from scores import Statistics, frechet_distance, kernel_distance
from wgan_generate import find_generator, load_generator


class Folder:
    """The pictures of a folder, whole and in their own sizes, in the order of their names."""

    def __init__(self, path, skip_unreadable):
        found = find_pictures(path)
        readable = [decode_picture(p) is not None for p in found]
        if not all(readable) and not skip_unreadable:
            raise UserError('%d pictures in %s can not be read, the first is %s; leave them out '
                            'with --skip-unreadable'
                            % (readable.count(False), path, found[readable.index(False)]))
        self.name, self.paths = path, [p for p, good in zip(found, readable) if good]
        self.count = len(self.paths)

    def batches(self, size):
        for i in range(0, self.count, size):
            yield [decode_picture(p) for p in self.paths[i:i + size]]


class Generated:
    """Pictures of a generator, rounded to 8 bits as if they had been saved."""

    def __init__(self, name, generator, count, seed):
        self.name, self.generator, self.count, self.seed = name, generator, count, seed

    def batches(self, size):
        rng, width = np.random.RandomState(self.seed), self.generator.arguments[0].shape[0]
        for i in range(0, self.count, size):
            latents = rng.standard_normal((min(size, self.count - i), width)).astype(np.float32)
            yield to_pictures(models.generate(self.generator, latents, size))


def source(path, options):
    """The pictures that a command-line argument stands for."""
    is_folder = os.path.isdir(path) and not any(n.endswith('.model') for n in os.listdir(path))
    if is_folder:
        return Folder(path, options.skip_unreadable)
    path = find_generator(path)
    return Generated(path, load_generator(path), options.count, options.seed)


def measure(pictures, network, splits, seed, batch_size):
    """Statistics of all pictures, with progress.

    pictures: has name, count, and batches(size), which yields lists of RGB pictures, uint8.
    Returns a dict: Inception Score, and what `distances` needs.
    """
    if pictures.count < splits:
        raise UserError('%s has %d pictures, fewer than --splits %d'
                        % (pictures.name, pictures.count, splits))
    statistics = Statistics(pictures.count, splits, np.random.RandomState(seed))
    progress = Progress('scoring ' + pictures.name, pictures.count)
    for batch in pictures.batches(batch_size):
        statistics.add(*network(batch))
        progress.show(statistics.seen)
    progress.end('%d pictures of %s' % (pictures.count, pictures.name))
    mean, deviation = statistics.inception_score()
    return dict(mean=statistics.mean, covariance=statistics.covariance,
                features=statistics.features, count=pictures.count, splits=splits,
                inception_score_mean=mean, inception_score_std=deviation)


def distances(found, reference, seed):
    """FID and KID between two results of `measure`, as a dict."""
    kid = kernel_distance(found['features'], reference['features'], np.random.RandomState(seed))
    return dict(fid=frechet_distance(found['mean'], found['covariance'], reference['mean'],
                                     reference['covariance']), kid_mean=kid[0], kid_std=kid[1])


def warn_of_few(count, measured):
    """Say so if `count` pictures are too few for the number of features in a result."""
    features = len(measured['mean'])
    if count <= features:
        print('warning: %d pictures are few for %d features: their covariance is singular, and FID '
              'is too high; compare it only with scores of as many pictures' % (count, features))


def made_with(network):
    """What must be the same for statistics to be compared."""
    return {'network_sha256': network.sha256, 'features_output': network.features,
            'classes_output': network.classes, 'resize': network.resize, 'scale': network.scale}


def load_statistics(path, network):
    """Statistics that --save-statistics wrote; refused if they were made otherwise."""
    try:
        with np.load(path, allow_pickle=False) as saved:
            statistics = dict(saved)
        for name, value in made_with(network).items():
            if str(statistics[name]) != value:
                raise UserError('the statistics in %s were made with another %s (%s, here %s)'
                                % (path, name, statistics[name], value))
    except (ValueError, KeyError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise UserError('%s holds no statistics of this program' % path)
    return statistics


def parse():
    p = Parser(description='Inception Score, and distances to real pictures (FID, KID).',
               usage='%(prog)s WHAT --inception FILE [options]')
    count = number(int, 1)
    p.add_argument('what', metavar='WHAT', help='folder of pictures, run folder, or generator file')
    p.add_argument('--reference', help='real pictures: a folder, or an .npz of --save-statistics')
    p.add_argument('--json', metavar='FILE', help='write all results here')
    p.add_argument('--save-statistics', metavar='FILE.npz', help='keep the statistics of WHAT, '
                   'to be a --reference')

    g = p.add_argument_group('how many')
    g.add_argument('--count', type=count, default=50000, help='pictures to generate')
    g.add_argument('--splits', type=count, default=10, help='parts for the Inception Score')
    g.add_argument('--seed', type=number(int, 0, 2 ** 32 - 1), default=0, help='of the latents')
    g.add_argument('--batch-size', type=count, default=32, help='pictures at once')
    g.add_argument('--skip-unreadable', action='store_true', help='leave out what can not be read')

    add_network_options(p)
    p.add_argument('--device', choices=('auto', 'cpu', 'gpu'), default='auto',
                   help='auto takes a GPU if CNTK finds one')
    return p.parse_args()


def main():
    options = parse()
    network = open_network(options, select_device(options.device))

    def measured(path):
        return measure(source(path, options), network, options.splits, options.seed,
                       options.batch_size)

    reference = None
    if options.reference:
        reference = (load_statistics(options.reference, network)
                     if options.reference.endswith('.npz') else measured(options.reference))
    found = measured(options.what)
    if options.save_statistics:
        np.savez(options.save_statistics, **dict(found, **made_with(network)))

    results = dict(made_with(network), what=options.what, count=found['count'],
                   splits=found['splits'], engine=network.engine,
                   inception_score_mean=found['inception_score_mean'],
                   inception_score_std=found['inception_score_std'],
                   versions={'python': platform.python_version(), 'cntk': C.__version__,
                             'numpy': np.__version__, 'onnxruntime': onnxruntime.__version__})
    rows = [('Inception Score', '%.4f ± %.4f' % (found['inception_score_mean'],
                                                 found['inception_score_std']))]
    if reference is not None:
        warn_of_few(min(found['count'], int(reference['count'])), found)
        results.update(
            distances(found, reference, options.seed), reference=options.reference,
            reference_count=int(reference['count']),
            reference_inception_score_mean=float(reference['inception_score_mean']),
            reference_inception_score_std=float(reference['inception_score_std']))
        rows += [('... of the reference', '%.4f ± %.4f' % (reference['inception_score_mean'],
                                                           reference['inception_score_std'])),
                 ('FID', '%.4f' % results['fid']),
                 ('KID', '%.6f ± %.6f' % (results['kid_mean'], results['kid_std']))]
    rows += [(name.replace('_', ' '), str(results[name])) for name in (
        'count', 'splits', 'resize', 'scale', 'engine', 'features_output', 'classes_output',
        'network_sha256')]
    for name, value in rows:
        print('%-22s %s' % (name, value))
    if options.json:
        with open(options.json, 'w') as file:
            json.dump(results, file, indent=2, sort_keys=True)
            file.write('\n')


if __name__ == '__main__':
    run(main)
