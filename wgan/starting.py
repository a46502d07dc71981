"""--start-from: a new run that begins with the networks of another."""

import os

from wgan.cntk import quiet
from wgan.cntk_files import load_model
from wgan.command_line import UserError, one_line
from wgan.disk import sha256
from wgan.evaluation import label_input

import numpy as np

# What is taken where a file is not there.
OTHER = {'wgan_generator.model': 'wgan_generator_average.model',
         'wgan_generator_average.model': 'wgan_generator.model'}
NORMALIZATIONS = {'gain': 'layer', 'scale': 'batch'}        # by the name of a weight


def begin_with(folder, updates):
    """Give the networks of `updates` the weights and statistics of those in a folder.

    folder: of a run, or one that holds the same files. Of the generator and its average one is
    enough: the other begins with it. The optimisers begin anew.
    Returns {name of a file: its SHA-256}. Raises UserError, with nothing changed, if there are no
    such networks in the folder, or if they have other sizes.
    """
    if not os.path.isdir(folder):
        raise UserError('--start-from: %s %s; name the folder of a run' % (
            one_line(folder) or "''",
            'is no folder' if os.path.lexists(folder) else 'does not exist'))
    paths = {name: _file(folder, name) for name in updates.networks()}
    found = {name: _load(path) for name, path in paths.items()}
    for name, network in updates.networks().items():
        _check(paths[name], found[name], network)
    for name, network in updates.networks().items():
        for mine, theirs in zip(_state(network), _state(found[name])):
            mine.value = theirs.value
    return {os.path.basename(path): sha256(path) for path in paths.values()}


def _file(folder, name):
    for found in (name, OTHER.get(name, name)):
        if os.path.isfile(os.path.join(folder, found)):
            return os.path.join(folder, found)
    raise UserError('--start-from: there is no %s in %s; a run writes it with each checkpoint'
                    % (name, one_line(folder)))


def _load(path):
    try:
        with quiet():
            return load_model(path)
    except (RuntimeError, ValueError) as error:
        raise UserError('--start-from: %s is no CNTK model that can be read (%s)' % (
            one_line(path), str(error).split('\n')[0] or 'damaged'))


def _check(path, theirs, mine):
    """Raise UserError if the one can't take the other's weights, with what to set."""
    if _is_of_text(theirs) != _is_of_text(mine):
        raise UserError('--start-from: %s is of a run on %s; %s' % (
            one_line(path), *(('text', 'name one on images, or train on lines with --text')
                              if _is_of_text(theirs) else
                              ('images', 'name one on text, or train on images without --text'))))
    then, now = _settings(theirs), _settings(mine)
    differences = [key for key in now if then.get(key) != now[key]]
    if differences:
        raise UserError('--start-from: %s has %s, and this run has %s%s' % (
            one_line(path), *(', '.join('%s %s' % (key, settings.get(key, 'unknown'))
                                        for key in differences) for settings in (then, now)),
            '; it follows from --objective' if 'normalisation' in differences else ''))
    if list(map(_kind, _state(theirs))) != list(map(_kind, _state(mine))):
        raise UserError('--start-from: %s is no network of this project, or of another version'
                        % one_line(path))
    if not all(np.isfinite(p.value).all() for p in _state(theirs)):
        raise UserError('--start-from: %s has weights that are NaN or infinite' % one_line(path))


def _is_of_text(network):
    """Whether it makes or judges lines: arrays of one row, (characters, 1, length)."""
    return any(len(x.shape) == 3 and x.shape[1] == 1
               for x in [*network.arguments, network.output] if x.name != 'label')


def _settings(network):
    """The settings that the shapes of a generator or critic come from, by what a user calls them.

    Those that can't be seen, in a network of something else, are left out.
    """
    label = label_input(network)
    shapes = [x.shape for x in network.arguments + network.outputs if x != label]
    found = {'number of labels': label.shape[0] if label is not None else 0}
    images = [shape for shape in shapes if len(shape) == 3]
    if images and images[0][1] == 1:
        found['number of characters'], _, found['--length'] = images[0]
        kernels = [p.shape for p in network.parameters if len(p.shape) == 4 and p.shape[3] == 5]
        if kernels:
            found['--width'] = kernels[0][0]
    elif images:
        found['--channels'], found['--image-size'] = images[0][:2]
        kernels = [p.shape for p in network.parameters
                   if len(p.shape) == 4 and p.shape[1] == images[0][0]]
        if kernels:                             # of the layer at the image
            found['--width'] = kernels[0][0]
    if len(shapes[0]) == 1:
        found['--latent-size'] = shapes[0][0]
    else:
        found['normalisation'] = ' and '.join(sorted({
            NORMALIZATIONS[p.name] for p in network.parameters if p.name in NORMALIZATIONS}))
    return found


def _state(network):
    """What is learnt: the weights, and the running statistics of batch normalisation."""
    return list(network.parameters) + [
        p for p in network.constants if p.name.startswith('aggregate_')]


def _kind(p):
    return p.name, p.shape
