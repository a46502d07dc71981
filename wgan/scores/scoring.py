"""Scores a folder of images or a generator with an image network."""

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
import collections
import hashlib
import os
import zipfile
import zlib

from wgan.machine.command_line import Progress, UserError, one_line, report
from wgan.generators.evaluation import generated, latent_input
from wgan.generators.files import GENERATORS, Generator
from wgan.generators.latents import draw_latents
from wgan.datasets.image_decoder import ImageReader, UnreadableImage, decode_image
from wgan.datasets.image_files import find_images, is_run, format_of
from wgan.datasets.labels import FIRST_IMAGE, LABELS_FILE, draw_labels, find_labels, names_of
from wgan.scores.distances import (
    KEPT, NEAREST, Statistics, count_of_copies, features_distance, frechet_distance,
    kernel_distance, neighbourhood_scores)

import numpy as np


LABEL_COUNT = 100               # least number of images for the FID of a label
SHOWN = 20                      # at most this many labels are listed


def check_count(images, least, use):
    """Raises UserError if there are fewer than `least` images. use: what needs them."""
    if images.count < least:
        raise UserError('%s: %d image%s, and %s needs at least %d' % (
            one_line(images.name), images.count, '' if images.count == 1 else 's', use,
            least))


class ContentKeys:
    """Keys of images for Statistics, from the pixels alone. sides: √(height · width) of each.

    They are hashes: they look random, and do not depend on file names or the order of files. Copies
    have different keys, so that they do not all fall into one split.
    """

    def __init__(self):
        self.seen, self.last, self.sides = collections.Counter(), [], []

    def noted(self, images):
        """Yields the images, RGB, uint8, (H, W, 3), and appends their keys to `last`."""
        self.last = []
        for image in images:
            self.last.append(self._key(image))
            self.sides.append(np.sqrt(image.shape[0] * image.shape[1]))
            yield image

    def _key(self, image):
        content = hashlib.blake2b(b'%d %d' % image.shape[:2], digest_size=16)
        content.update(np.ascontiguousarray(image))
        content = content.digest()
        self.seen[content] += 1
        key = hashlib.blake2b(content + b'%d' % self.seen[content], digest_size=8).digest()
        return int.from_bytes(key, 'big')


def measure(images, network, splits, batch_size):
    """Computes statistics of all images. They do not depend on the order of the images.

    images: has name, count, and batches(size), which yields RGB images, uint8.
    Returns a dict: the Inception Score, and the input of `distances`; the covariance of a single
    image is None. side: median √(height · width), in pixels. kept: indices of the images that have
    features, for `take`.
    Raises UserError if there are fewer images than splits, and as `network` does.
    """
    check_count(images, splits, 'an Inception Score of %d parts' % splits)
    statistics, keys = Statistics(splits), ContentKeys()
    progress = Progress('scoring ' + one_line(images.name), images.count)
    for batch in images.batches(batch_size):
        statistics.add(*network(keys.noted(batch)), keys.last)
        progress.show(statistics.seen)
    progress.end('%d images of %s' % (images.count, one_line(images.name)))
    mean, deviation = statistics.inception_score()
    covariance = statistics.covariance if images.count > 1 else None
    if covariance is not None and not np.isfinite(covariance).all():
        raise UserError('the features that %s gives for %s are too large for a covariance; is '
                        '--scale %s what it was trained with?'
                        % (one_line(network.path), one_line(images.name), network.scale))
    kept, features = statistics.selection()
    return dict(mean=statistics.mean, covariance=covariance, features=features, kept=kept,
                side=np.median(keys.sides), count=images.count, splits=splits,
                inception_score_mean=mean, inception_score_std=deviation)


class Folder:
    """The images of a folder or map file, in their original sizes, in order.

    labels: source of the labels, as `find_labels` takes it, or None. label_names: of each image.
    """

    measured = measure

    def __init__(self, path, skip_unreadable, option='WHAT', labels=None):
        paths = find_images(path, option)
        names = find_labels(path, labels, paths) if labels else [None] * len(paths)
        reader = ImageReader('skipped' if skip_unreadable else 'unreadable')
        readable = [(p, name) for p, name in zip(paths, names) if reader.read(p) is not None]
        self.name, self.paths = path, [p for p, _ in readable]
        self.count, self.label_names = len(self.paths), [name for _, name in readable]
        if reader.unreadable and not skip_unreadable:
            raise UserError('%d images in %s can not be read, the first is %s; leave them out '
                            'with --skip-unreadable' % (len(reader.unreadable), one_line(path),
                                                        one_line(min(reader.unreadable))))
        if not self.paths:
            raise UserError('none of the %d images in %s can be read'
                            % (len(paths), one_line(path)))
        reader.warn()

    def batches(self, size):
        for i in range(0, self.count, size):
            yield map(self._read, self.paths[i:i + size])       # one by one: they may be large

    def take(self, numbers):
        """The images of these numbers, counted from 0."""
        return [self._read(self.paths[i]) for i in numbers]

    def _read(self, path):
        try:
            return decode_image(path)
        except UnreadableImage as error:
            raise UserError('%s could be read at first, and no longer can: %s'
                            % (one_line(path), error))


class Generated:
    """Images of a generator, rounded to 8 bits like saved images.

    labels: the Labels of the data, drawn with their frequencies. label_names: of each image.
    """

    measured = measure

    def __init__(self, name, generator, count, seed, labels):
        self.name, self.generator, self.count = name, generator, count
        self.latents = draw_latents(count, latent_input(generator).shape[0], seed)
        self.labels = draw_labels(np.random.RandomState([seed, 1]), count, labels.counts)
        self.label_names = ([labels.names[number] for number in self.labels.argmax(axis=1)]
                            if labels.names else [None] * count)

    def batches(self, size):
        return generated(self.generator, self.latents, size, self.name, self.labels)

    def take(self, numbers):
        """The images of these numbers, counted from 0."""
        return np.concatenate(list(generated(
            self.generator, self.latents[numbers], 16, self.name, self.labels[numbers])))


class Saved:
    """A file of --save-statistics: the result of `measured`, without the images.

    Raises UserError if it is damaged or has other settings; OSError if it can't be opened.
    """

    label_names = None

    def __init__(self, path, network):
        self.name, self.statistics = path, _read_statistics(path, made_with(network))

    def measured(self, *_):
        return self.statistics


# Exceptions of NumPy for a file that is no .npz file of numbers, or is damaged.
NPZ_ERRORS = (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, RuntimeError,
              MemoryError, zipfile.BadZipFile, zlib.error)


def _read_statistics(path, settings):
    with open(path, 'rb') as file:
        try:
            with np.load(file, allow_pickle=False) as saved:
                statistics = dict(saved)
            others = {name: str(statistics[name]) for name in settings}
            _check_statistics(**{name: statistics[name] for name in (
                'mean', 'covariance', 'features', 'count', 'inception_score_mean',
                'inception_score_std')}, side=statistics.get('side', np.zeros(())))
        except NPZ_ERRORS:
            raise UserError('%s holds no statistics of this program, or is damaged; write it '
                            'again with --save-statistics' % one_line(path))
    for name, value in settings.items():
        if others[name] != value:
            raise UserError('the statistics in %s were made with another %s (%s, here %s)'
                            % (one_line(path), name, one_line(others[name]), value))
    statistics.setdefault('side', np.nan)               # version 1.0.0 did not save it
    return statistics


def _check_statistics(mean, covariance, features, count, **scores):
    """Raises ValueError or TypeError if the arrays can't be a result of `measure`."""
    size = len(mean)
    shapes_fit = (mean.shape == (size,) and covariance.shape == (size, size)
                  and features.ndim == 2 and features.shape[1] == size and len(features) > 1
                  and all(value.shape == () for value in [count, *scores.values()]))
    numbers = [mean, covariance, features, count, *scores.values()]
    if not (shapes_fit and count >= 2 and all(np.isfinite(array).all() for array in numbers)):
        raise ValueError('not the statistics of a set of images')


def source(path, option, options, network=None):
    """Returns the Folder, Generated or Saved for a command-line argument. All have `measured`. A
    Saved has no images, and None as label_names.

    option: name of the argument. options: the user's skip_unreadable, count, seed and labels.
    network: the network that saved statistics must have been made with; None: they are refused.
    Raises UserError if it is neither images nor a generator.
    """
    if not os.path.exists(path):
        raise UserError('%s does not exist; %s takes a folder of images, a map file, a run '
                        'folder or a generator file%s' % (
                            one_line(path), option, '' if network is None
                            else ', or what --save-statistics wrote'))
    content = content_of(path)
    if content == 'statistics' and network is None:
        raise UserError('%s holds statistics: it can be a --reference, but not %s'
                        % (one_line(path), option))
    if content == 'statistics':
        return Saved(path, network)
    if content == 'generator':
        generator = Generator(path, of_text=False)
        return Generated(generator.path, generator.network, options.count, options.seed,
                         generator.labels)
    if is_run(path):
        raise UserError('%s is a run folder without a generator (%s), and its grids and plots are '
                        'no images to score' % (one_line(path), GENERATORS[-1]))
    labels = options.labels
    if network is None and labels:              # in WHAT they stand elsewhere than in --reference
        path, labels = labels_beside(path)
    return Folder(path, options.skip_unreadable, option, labels)


def content_of(path):
    """Returns 'statistics', 'generator' or 'images' (a folder or map file), from a path's name and
    first bytes.
    """
    if os.path.isdir(path):
        return 'generator' if set(GENERATORS).intersection(os.listdir(path)) else 'images'
    with open(path, 'rb') as file:
        beginning = file.read(1 << 16)
    if beginning.startswith(b'PK\3\4') or path.lower().endswith(('.npz', '.npy')):
        return 'statistics'
    is_text = b'\0' not in beginning or beginning.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
    return 'images' if is_text or format_of(beginning) else 'generator'


def labels_beside(path):
    """Returns (path, source of the labels) of images, for Folder.

    A folder of wgan_generate.py has a LABELS_FILE. Otherwise a map file has the labels, or the
    folders are the labels.
    """
    listed = os.path.join(path, LABELS_FILE)
    if os.path.isfile(listed) and os.path.isfile(os.path.join(path, FIRST_IMAGE)):
        return listed, 'map'
    return path, 'folders' if os.path.isdir(path) else 'map'


def distances(result, reference, seed):
    """Returns FID, KID, precision, recall, density and coverage, a dict.

    result, reference: results of `measure`, of two images or more.

    Raises UserError if their numbers of features differ.
    """
    if len(result['mean']) != len(reference['mean']):
        raise UserError('the reference has %d features, and this network gives %d'
                        % (len(reference['mean']), len(result['mean'])))
    kid = kernel_distance(result['features'], reference['features'], np.random.RandomState(seed))
    return dict(neighbourhood_scores(result['features'], reference['features']),
                fid=frechet_distance(result['mean'], result['covariance'], reference['mean'],
                                     reference['covariance']), kid_mean=kid[0], kid_std=kid[1])


def label_distances(images, result, reference_images, reference):
    """Returns {label: FID} for labels with LABEL_COUNT images in both sets, by the saved features.
    Prints which labels have fewer.
    """
    sides = [(source.name, measured, np.array(source.label_names)[measured['kept']])
             for source, measured in ((images, result), (reference_images, reference))]
    distances, without = {}, []
    for label in names_of([label for _, _, names in sides for label in names]):
        ours, theirs = (measured['features'][names == label] for _, measured, names in sides)
        few = ['%d in %s' % (len(features), one_line(name))
               for features, (name, _, _) in zip((ours, theirs), sides)
               if len(features) < LABEL_COUNT]
        if few:
            without.append('%s (%s)' % (one_line(label), ', '.join(few)))
        else:
            distances[label] = features_distance(ours, theirs)
    if without:
        print('no FID of labels with fewer than %d images%s: %s%s' % (
            LABEL_COUNT, ' among the %d whose features are kept' % KEPT
            if max(result['count'], reference['count']) > KEPT else '',
            ', '.join(without[:SHOWN]),
            ' and %d more' % (len(without) - SHOWN) if len(without) > SHOWN else ''))
    return distances


def warn_of_few(count, measured):
    """Warns if `count` images are too few for the number of features in a result."""
    features = len(measured['mean'])
    if count <= features:
        report('warning: %d images are few for %d features: their covariance is singular, and '
               'FID is too high; compare it only with scores of as many images'
               % (count, features))


def warn_of_sizes(*measured):
    """Warns if two sets of images differ in size by more than a fifth.

    measured: (name, result of `measure`) of both.
    """
    (small, name), (large, other) = sorted(
        (float(result['side']), name) for name, result in measured)
    if large > 1.2 * small:
        print('warning: the images in %s are %.0f pixels wide and high, those in %s %.0f: all '
              'distances then measure the loss of detail too; bring both to one size'
              % (one_line(name), small, one_line(other), large))


def warn_of_copies(name, measured):
    """Warns if images have so many copies that their neighbourhoods are empty."""
    copies = count_of_copies(measured['features'])
    if copies:
        print('warning: %s: %d of %d images have %d copies or more; nothing else lies in their '
              'neighbourhoods, so precision, recall, density and coverage mean little' % (
                  one_line(name), copies, len(measured['features']), NEAREST))


def made_with(network):
    """Returns the settings that must be equal for statistics to be compared."""
    return {'network_sha256': network.sha256, 'features_output': network.features,
            'classes_output': network.classes, 'resize': network.resize, 'scale': network.scale}
