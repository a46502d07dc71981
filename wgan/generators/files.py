"""A trained generator from its file, of CNTK or ONNX."""

import os

from wgan.machine.command_line import UserError, note, one_line
from wgan.machine.cntk import quiet
from wgan.machine.cntk_files import load_model
from wgan.generators import onnx_file as onnx_generator
from wgan.machine.disk import read_json
from wgan.generators.evaluation import label_input, makes_text
from wgan.datasets.labels import Labels, labels_of
from wgan.datasets.text import known_characters

# What a run folder calls its generators, best first: the one of the lowest FID, if the run was
# scored; then averaged weights, which make steadier images.
GENERATORS = ('wgan_generator_best.model', 'wgan_generator_average.model', 'wgan_generator.model')


def find_generator(path):
    """The model file that `path`, a run folder or a file, stands for; of several it says which.
    Raises UserError.
    """
    if os.path.isfile(path):
        return path
    found = [name for name in GENERATORS if os.path.isfile(os.path.join(path, name))]
    if len(found) > 1:
        note('taking %s, of the %d generators in %s' % (found[0], len(found), one_line(path)))
    if found:
        return os.path.join(path, found[0])
    if not os.path.isdir(path):
        raise UserError('%s is no run folder and no model file' % path)
    raise UserError('there is no model in %s; training writes %s with each checkpoint'
                    % (path, GENERATORS[-1]))


def load_generator(path):
    """The generator of images in a CNTK or ONNX file. Raises UserError if there is none in it."""
    model = load_any_generator(path)
    if makes_text(model):
        raise UserError('%s is a generator of text: wgan_generate.py writes lines of it' % path)
    return model


def load_any_generator(path):
    """The generator in a CNTK or ONNX file, of images or of text. Raises UserError as above."""
    kind = 'ONNX' if path.lower().endswith('.onnx') else 'CNTK'
    with quiet():
        try:
            model = onnx_generator.load(path) if kind == 'ONNX' else load_model(path)
        except (RuntimeError, ValueError) as error:
            raise UserError('%s is no %s model that can be read (%s)' % (
                path, kind, str(error).split('\n')[0] or 'damaged'))
    shapes = ([x.shape for x in model.arguments if x != label_input(model)],
              [y.shape for y in model.outputs])
    if not (len(shapes[0]) == len(shapes[1]) == 1 and len(shapes[0][0]) == 1
            and len(shapes[1][0]) == 3 and (shapes[1][0][0] in (1, 3) or makes_text(model))):
        raise UserError('%s is a model, but no generator: it makes %s from %s, not one image '
                        '(3, S, S) or (1, S, S) from one latent (N,)'
                        % (path, shapes[1], shapes[0]))
    return model


def config_of(path):
    """What the run of a generator's file knows of itself: its config.json, or what an ONNX file
    kept of it; {} if nothing. Raises UserError if that is damaged.
    """
    if path.lower().endswith('.onnx'):
        return onnx_generator.training_of(path)
    config = os.path.join(os.path.dirname(path), 'config.json')
    if not os.path.isfile(config):              # a model file may have left its run folder
        return {}
    try:
        found = read_json(config)
    except ValueError:
        found = None
    if not isinstance(found, dict) or 'settings' not in found:
        raise UserError('%s is not, or no longer, what training wrote there; move it away, and '
                        'nothing is known of the run' % one_line(config))
    return found


def generator_labels(path, generator):
    """The Labels of the generator in a file: those of its run, or of its ONNX file.

    Where neither is known, they are called 0, 1, 2 …, each as often as the others. Raises UserError
    if what is known is damaged, or of another number of labels.
    """
    label = label_input(generator)
    if label is None:
        return Labels([], [])
    count, labels = label.shape[0], labels_of(config_of(path))
    if labels.names and len(labels.names) != count:
        raise UserError('%s takes %d labels, and its run had %d' % (path, count,
                                                                    len(labels.names)))
    return labels if labels.names else Labels([str(i) for i in range(count)], [1] * count)


def generator_characters(path, generator):
    """The characters that a generator of text makes lines of: a list of them, the end first.

    Raises UserError if its run is not known, or had others.
    """
    found, count = known_characters(config_of(path)), generator.output.shape[0]
    if found is None or len(found) != count:
        raise UserError('%s makes %d characters, and its config.json %s; keep it in its run '
                        'folder, or export it from there' % (
                            path, count, 'does not say which' if found is None else
                            'knows %d' % len(found)))
    return found
