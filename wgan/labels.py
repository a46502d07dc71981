"""Labels of images: where they stand, how often each occurs, and as what the networks have them.

In the networks a label is a vector of as many numbers as there are labels: 1 for its own, 0 for the
others. Where there are no labels, that is a vector of no numbers.
"""

from collections import namedtuple
import os

from wgan.command_line import UserError, one_line
from wgan.disk import as_text
from wgan.image_files import read_map_file

import numpy as np

WHERE = ('map', 'folders')

# names: in the order in which the networks have them. counts: how many images each has.
Labels = namedtuple('Labels', 'names counts')


def find_labels(source, where, paths):
    """The labels, texts, of the images that `find_images` found in `source`, in their order.

    where: 'map': the last column of the map file `source`. 'folders': the first folder below the
    folder `source`.
    Bytes that are no text are as `as_text` keeps them: a label is the same under any locale.
    Raises UserError if an image has none, a label occurs once, or all are the same.
    """
    if where == 'map':
        if os.path.isdir(source):
            raise UserError('--labels map: %s is a folder; name a map file, or take the names of '
                            'its folders with --labels folders' % one_line(source))
        labels = [as_text(label) for _, label in read_map_file(source)]
        kind, missing = 'lines', 'lists the image %s without a label'
    else:
        if not os.path.isdir(source):
            raise UserError('--labels folders: %s is a map file; take the labels from it with '
                            '--labels map' % one_line(source))
        inner = [os.path.relpath(path, source).split(os.sep) for path in paths]
        labels = [as_text(parts[0]) if len(parts) > 1 else '' for parts in inner]
        kind, missing = 'images', 'has the image %s in no folder that would be its label'
    without = [path for path, label in zip(paths, labels) if not label]
    if without:
        raise UserError('--labels %s: %s %s (%d of %d %s)' % (
            where, one_line(source), missing % one_line(without[0]), len(without), len(paths),
            kind))
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
    return labels


def has_labels(source):
    """Whether it is a map file with different labels."""
    return os.path.isfile(source) and len({label for _, label in read_map_file(source)}) > 1


def names_of(labels):
    """The different labels, sorted: as numbers if they all are, else as texts."""
    names = set(labels)
    try:
        return sorted(names, key=lambda name: (int(name), name))
    except ValueError:
        return sorted(names)


def labels_of(config):
    """The Labels that a config.json (a dict) knows of; none, if its run has none.

    Raises UserError if they are not what a run wrote.
    """
    found = config.get('labels')
    if found is None:
        return Labels([], [])
    try:
        names, counts = found['names'], found['counts']
        if (len(names) == len(counts) == len(set(names)) and all(isinstance(n, str) for n in names)
                and all(isinstance(n, int) and n > 0 for n in counts)):
            return Labels(names, counts)
    except (TypeError, KeyError):
        pass
    raise UserError('config.json is damaged: its labels are %s' % one_line(repr(found))[:80])


def choose(text, labels, model):
    """The numbers of the labels that a user names, with commas between them; None: of all.

    labels: the Labels of the generator `model`. Raises UserError for a name that is none of them.
    """
    if text is None:
        return list(range(len(labels.names)))
    if not labels.names:
        raise UserError('--label: %s was trained without labels' % one_line(model))
    text = as_text(text)
    names = [text] if text in labels.names else [name.strip() for name in text.split(',')]
    for name in names:
        if name not in labels.names:
            raise UserError('--label: %s has no label %s; it has %s' % (
                one_line(model), one_line(name) or "''", ', '.join(map(one_line, labels.names))))
    return [labels.names.index(name) for name in names]


def one_hot(numbers, count):
    """Labels as the networks have them: float32 (N, count), from numbers below count."""
    return (np.asarray(numbers)[:, None] == np.arange(count)).astype(np.float32)


def draw_labels(rng, size, counts):
    """Labels, (size, K) as `one_hot` gives them, as often as `counts`, (K,), has them.

    Without labels, K = 0, nothing is drawn.
    """
    if not len(counts):
        return np.zeros((size, 0), np.float32)
    counts = np.asarray(counts, float)
    return one_hot(rng.choice(len(counts), size, p=counts / counts.sum()), len(counts))
