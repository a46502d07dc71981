"""--start-from: a new run begins with the networks of another run."""

import os

from wgan.machine.cntk import C, quiet
from wgan.machine.cntk_files import load_model
from wgan.machine.command_line import RANK, UserError, note, one_line
from wgan.machine.disk import sha256
from wgan.generators.evaluation import label_input, state
from wgan.generators.files import config_of
from wgan.datasets.labels import labels_of
from wgan.training.layers import SETTLED

import numpy as np

# The file to take if one is missing.
OTHER = {'wgan_generator.model': 'wgan_generator_average.model',
         'wgan_generator_average.model': 'wgan_generator.model'}
LABELS = 'number of labels'
SHOWN = 20                      # at most this many labels are listed
NORMALIZATIONS = {'gain': 'layer', 'scale': 'batch',        # by the name of a weight,
                  'singular_u': 'spectral'}                 # or of a constant


def begin_with(folder, updates, label_names=()):
    """Copies weights and running statistics of the networks in a folder to those of `updates`.

    folder: a run folder, or one with the same files. If the generator or its average is missing,
    the other one is used for both. The optimisers start from zero.
    label_names: labels of the new networks, in order. A label of the other run keeps its weights,
    whatever its position; a new label keeps the initial weights.
    Returns {file name: SHA-256}. Raises UserError, without any change, if there are no such
    networks in the folder, if they have other sizes, or if their labels are unknown.
    """
    if not os.path.isdir(folder):
        raise UserError('--start-from: %s %s; name the folder of a run' % (
            one_line(folder) or "''",
            'is no folder' if os.path.lexists(folder) else 'does not exist'))
    paths = {name: _file(folder, name) for name in updates.networks()}
    loaded = {name: _load(path) for name, path in paths.items()}
    for name, network in updates.networks().items():
        _check(paths[name], loaded[name], network)
    old_names = _label_names(folder, loaded) if label_names else []
    for name, network in updates.networks().items():
        label_weights = _label_weights(network)
        for mine, theirs in zip(state(network), state(loaded[name])):
            mine.value = (_moved(mine.value, theirs.value, label_names, old_names)
                          if mine == label_weights else theirs.value)
    updates.power_iteration.run(SETTLED)
    if list(label_names) != old_names and RANK == 0:
        _report_labels(folder, label_names, old_names)
    return {os.path.basename(path): sha256(path) for path in paths.values()}


def _label_names(folder, networks):
    """Returns the labels of the run in a folder, in the order of the one-hot vector."""
    names = labels_of(config_of(os.path.join(folder, next(iter(OTHER))))).names
    if not all(label_input(network).shape[0] == len(names) for network in networks.values()):
        raise UserError('--start-from: no config.json in %s says which labels its networks know; '
                        'name the folder of a run with labels' % one_line(folder))
    return names


def _label_weights(network):
    """Returns the parameter that multiplies the label of a network; None if it takes no label."""
    label = label_input(network)
    if label is None:
        return None
    functions = C.logging.graph.depth_first_search(network, lambda x: isinstance(x, C.Function))
    joined = next(f for f in functions if not f.is_composite and label in f.inputs).output
    user = next(f for f in functions if not f.is_composite and joined in f.inputs)
    weights = next(x for x in user.inputs if x != joined)       # or what normalises them
    return weights if weights.is_parameter else C.combine([weights]).parameters[0]


def _label_axis(shape):
    """Returns the axis of such a parameter whose last entries are the labels. The generator has
    (latent and labels, channels, 4, 4), the critic (channels, labels, 3, 3).
    """
    return 0 if shape[-1] == 4 else 1


def _moved(value, old, names, old_names):
    """Returns `value` with the weights of `old` for all entries except labels that are new."""
    axis = _label_axis(value.shape)
    value, old = np.moveaxis(value.copy(), axis, 0), np.moveaxis(old, axis, 0)
    start = len(value) - len(names)             # labels come last
    value[:start] = old[:start]
    for i, name in enumerate(names):
        if name in old_names:
            value[start + i] = old[start + old_names.index(name)]
    return np.ascontiguousarray(np.moveaxis(value, 0, axis))


def _report_labels(folder, names, old_names):
    """Reports which labels are reused, new, or dropped."""
    parts = [(text, [one_line(name) for name in some]) for text, some in (
        ('as there: ', [name for name in names if name in old_names]),
        ('new, from initial weights: ', [name for name in names if name not in old_names]),
        ('left out: ', [name for name in old_names if name not in names]))]
    note('the labels begin with those of %s, by their names; %s' % (one_line(folder), '; '.join(
        text + ', '.join(some[:SHOWN]) + (' …' if len(some) > SHOWN else '')
        for text, some in parts if some)))


def _file(folder, name):
    for candidate in (name, OTHER.get(name, name)):
        if os.path.isfile(os.path.join(folder, candidate)):
            return os.path.join(folder, candidate)
    raise UserError('--start-from: there is no %s in %s; a run writes it with each checkpoint'
                    % (name, one_line(folder)))


def _load(path):
    try:
        with quiet():
            return load_model(path)
    except (RuntimeError, ValueError) as error:
        raise UserError('--start-from: cannot read %s as a CNTK model (%s)' % (
            one_line(path), str(error).split('\n')[0] or 'damaged'))


def _check(path, theirs, mine):
    """Raises UserError if the network `mine` can't take the weights of `theirs`."""
    if _is_of_text(theirs) != _is_of_text(mine):
        raise UserError('--start-from: %s is of a run on %s; %s' % (
            one_line(path), *(('text', 'name one on images, or train on lines with --text')
                              if _is_of_text(theirs) else
                              ('images', 'name one on text, or train on images without --text'))))
    then, now = _settings(theirs), _settings(mine)
    differences = [key for key in now if then.get(key) != now[key]
                   and not (key == LABELS and then.get(key) and now[key])]      # they are moved
    if differences:
        raise UserError('--start-from: %s has %s, and this run has %s%s' % (
            one_line(path), *(', '.join('%s %s' % (key, settings.get(key, 'unknown'))
                                        for key in differences) for settings in (then, now)),
            '; it follows from --objective' if 'normalisation' in differences else ''))
    if _shapes(theirs) != _shapes(mine):
        raise UserError('--start-from: %s is no network of this project, or of another version'
                        % one_line(path))
    if not all(np.isfinite(p.value).all() for p in state(theirs)):
        raise UserError('--start-from: %s has weights that are NaN or infinite' % one_line(path))


def _is_of_text(network):
    """Whether a network generates or scores lines: arrays (characters, 1, length)."""
    return any(len(x.shape) == 3 and x.shape[1] == 1
               for x in [*network.arguments, *network.outputs] if x.name != 'label')


def _settings(network):
    """Returns the settings that decide the shapes of a generator or critic, by their options.

    Settings that can't be determined are left out.
    """
    label = label_input(network)
    shapes = [x.shape for x in network.arguments + network.outputs if x != label]
    settings = {LABELS: label.shape[0] if label is not None else 0}
    images = [shape for shape in shapes if len(shape) == 3]
    if images and images[0][1] == 1:
        settings['number of characters'], _, settings['--length'] = images[0]
        kernels = [p.shape for p in network.parameters if len(p.shape) == 4 and p.shape[3] == 5]
        if kernels:
            settings['--width'] = kernels[0][0]
    elif images:
        settings['--channels'], settings['--image-size'] = colours, _ = images[0][:2]
        kernels = [p.shape for p in network.parameters if len(p.shape) == 4]
        is_residual = any(shape[2:] == (1, 1) for shape in kernels)         # of a shortcut
        settings['--network'] = 'resnet' if is_residual else 'dcgan'
        # Kernels are (outputs, inputs, …), those of transposed convolutions (inputs, outputs, …).
        image_axis = 0 if is_residual and len(shapes[0]) == 1 else 1
        widths = [shape[1 - image_axis] for shape in kernels if shape[image_axis] == colours]
        if widths:                              # of the layer next to the image
            settings['--width'] = widths[0]
    if len(shapes[0]) == 1:
        settings['--latent-size'] = shapes[0][0]
    else:
        settings['normalisation'] = ' and '.join(sorted({
            NORMALIZATIONS[p.name] for p in list(network.parameters) + list(network.constants)
            if p.name in NORMALIZATIONS})) or 'none'
    return settings


def _shapes(network):
    """Returns [(name, shape)] of the state, as if the network had at most one label."""
    label, label_weights = label_input(network), _label_weights(network)
    shapes = [(p.name, list(p.shape)) for p in state(network)]
    for (_, shape), p in zip(shapes, state(network)):
        if p == label_weights:
            shape[_label_axis(shape)] -= label.shape[0] - 1
    return shapes
