"""Finds labels of images, counts them, encodes them one-hot.

Without labels, the one-hot vector has no numbers.
"""

from collections import defaultdict, namedtuple
from decimal import Decimal, InvalidOperation
import os
import unicodedata

from wgan.machine.command_line import UserError, one_line, warn
from wgan.machine.disk import as_text
from wgan.datasets.image_files import read_map_file

import numpy as np

WHERE = ('map', 'folders')
# File names of wgan_generate.py: the single images, and the map file of their labels.
IMAGE_FILE, LABELS_FILE = '%06d.png', 'labels.txt'
FIRST_IMAGE = IMAGE_FILE % 0

# names: in the order of the one-hot vector. counts: number of images of each label.
Labels = namedtuple('Labels', 'names counts')


def label_name(text):
    """Normalises a label: one Unicode form, single spaces.

    Labels that look the same are then equal, and each can be written into a map file.
    """
    return ' '.join(unicodedata.normalize('NFC', text).split())


def find_labels(source, where, paths, report=True):
    """Returns the labels, texts, of the images that `find_images` lists in `source`, in order.

    where: 'map': the last column of the map file `source`. 'folders': the first folder below the
    folder `source`. report: whether to warn of labels with several spellings, and of images with
    several labels.
    Bytes that are no text are converted with `as_text`: a label is the same under any locale.
    Raises UserError if an image has no label, a label occurs once, or all labels are the same.
    """
    if where == 'map':
        if os.path.isdir(source):
            raise UserError('--labels map: %s is a folder; name a map file, or take the names of '
                            'its folders with --labels folders' % one_line(source))
        lines = read_map_file(source)
        spellings = [as_text(line.label) for line in lines]
        noun, missing = 'lines', 'lists the image %s without a label'
    else:
        if not os.path.isdir(source):
            raise UserError('--labels folders: %s is a map file; take the labels from it with '
                            '--labels map' % one_line(source))
        inner = [os.path.relpath(path, source).split(os.sep) for path in paths]
        lines, spellings = [], [as_text(parts[0]) if len(parts) > 1 else '' for parts in inner]
        noun, missing = 'images', 'has the image %s in no folder that would be its label'
    labels = [label_name(text) for text in spellings]
    without = [path for path, label in zip(paths, labels) if not label]
    if without:
        raise UserError('--labels %s: %s %s (%d of %d %s)' % (
            where, one_line(source), missing % one_line(without[0]), len(without), len(paths),
            noun))
    names, counts = np.unique(labels, return_counts=True)
    if counts.min() == 1:
        once = names[counts.argmin()]
        raise UserError('--labels %s: the label %s occurs once in %s, for %s; one image is not '
                        'enough to learn from' % (
                            where, one_line(once), one_line(source),
                            one_line(paths[labels.index(once)])))
    if len(names) == 1:
        raise UserError('--labels %s: all images in %s have the label %s; without --labels a run '
                        'needs none' % (where, one_line(source), one_line(names[0])))
    if report:
        _report_spellings(source, labels, spellings)
        _report_several_labels(source, lines)
    return labels


def _report_spellings(source, labels, spellings):
    """Warns of labels that differ in spaces or Unicode form only, and are treated as one."""
    forms_of = defaultdict(set)
    for label, spelling in zip(labels, spellings):
        forms_of[label].add(spelling)
    for label, forms in sorted(forms_of.items()):
        if len(forms) > 1:
            warn('%s has the label %s in several spellings, which are taken for one: %s' % (
                one_line(source), one_line(label), ', '.join(map(ascii, sorted(forms)))))


def _report_several_labels(source, lines):
    """Warns if a map file gives an image several labels."""
    before, others = {}, []
    for line in lines:
        previous = before.setdefault(os.path.abspath(line.path), line)
        if label_name(as_text(previous.label)) != label_name(as_text(line.label)):
            others.append((line, previous))
    if others:
        line, previous = others[0]
        warn('%s, line %d: the image %s has the label %s, and in line %d the label %s; it is taken '
             'with both%s' % (one_line(source), line.number, one_line(line.path),
                              one_line(as_text(line.label)), previous.number,
                              one_line(as_text(previous.label)),
                              ' (%d such lines)' % len(others) if len(others) > 1 else ''))


def has_labels(source):
    """Whether `source` is a map file with different labels."""
    return os.path.isfile(source) and len({line.label for line in read_map_file(source)}) > 1


def names_of(labels, names=()):
    """Returns the different labels. Their order is that of `names` if these are the same labels;
    else numerical if all are numbers; else alphabetical.
    """
    different = set(labels)
    if different == set(names):
        return list(names)
    try:
        numbers = {name: Decimal(name) for name in different}
    except InvalidOperation:
        return sorted(different)
    if not all(number.is_finite() for number in numbers.values()):      # 'nan' is a word
        return sorted(different)
    return sorted(different, key=lambda name: (numbers[name], name))


def labels_of(config):
    """Returns the Labels in a config.json (a dict), which may be empty.

    Raises UserError if they are damaged.
    """
    saved = config.get('labels')
    if saved is None:
        return Labels([], [])
    try:
        names, counts = saved['names'], saved['counts']
        if (len(names) == len(counts) == len(set(names)) and all(isinstance(n, str) for n in names)
                and all(isinstance(n, int) and n > 0 for n in counts)):
            plain = [label_name(name) for name in names]
            return Labels(plain if len(set(plain)) == len(names) else names, counts)
    except (TypeError, KeyError):
        pass
    raise UserError('config.json is damaged: its labels are %s' % one_line(repr(saved))[:80])


def choose(text, labels, model):
    """Returns the indices of the labels in a comma-separated text; of all labels if it is None.

    labels: the Labels of the generator `model`. Raises UserError for a name that is none of them.
    """
    if text is None:
        return list(range(len(labels.names)))
    if not labels.names:
        raise UserError('--label: %s was trained without labels' % one_line(model))
    text = as_text(text)
    names = ([label_name(text)] if label_name(text) in labels.names
             else [label_name(name) for name in text.split(',')])
    for name in names:
        if name not in labels.names:
            raise UserError('--label: %s has no label %s; it has %s' % (
                one_line(model), one_line(name) or "''", ', '.join(map(one_line, labels.names))))
    return [labels.names.index(name) for name in names]


def one_hot(numbers, count):
    """Encodes label indices below `count` one-hot: float32 (N, count)."""
    return (np.asarray(numbers)[:, None] == np.arange(count)).astype(np.float32)


def draw_labels(rng, size, counts):
    """Draws one-hot labels (size, K) with frequencies in proportion to `counts`, (K,).

    Draws nothing from `rng` if K = 0.
    """
    if not len(counts):
        return np.zeros((size, 0), np.float32)
    counts = np.asarray(counts, float)
    return one_hot(rng.choice(len(counts), size, p=counts / counts.sum()), len(counts))
