"""A trained generator from its file, of CNTK or ONNX."""

import os

from wgan.command_line import UserError
from wgan.cntk import quiet
from wgan.cntk_files import load_model
from wgan import onnx_generator
from wgan.disk import read_json
from wgan.evaluation import label_input
from wgan.labels import Labels, labels_of

# What a run folder calls its generators, best first: the one of the lowest FID, if the run was
# scored; then averaged weights, which make steadier images.
GENERATORS = ('wgan_generator_best.model', 'wgan_generator_average.model', 'wgan_generator.model')


def find_generator(path):
    """The model file that `path`, a run folder or a file, stands for. Raises UserError."""
    if os.path.isfile(path):
        return path
    for name in GENERATORS:
        if os.path.isfile(os.path.join(path, name)):
            return os.path.join(path, name)
    if not os.path.isdir(path):
        raise UserError('%s is no run folder and no model file' % path)
    raise UserError('there is no model in %s; training writes %s with each checkpoint'
                    % (path, GENERATORS[-1]))


def load_generator(path):
    """The generator in a CNTK or ONNX file. Raises UserError if there is none in it."""
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
            and len(shapes[1][0]) == 3 and shapes[1][0][0] in (1, 3)):
        raise UserError('%s is a model, but no generator: it makes %s from %s, not one image '
                        '(3, S, S) or (1, S, S) from one latent (N,)'
                        % (path, shapes[1], shapes[0]))
    return model


def generator_labels(path, generator):
    """The Labels of the generator in a file: those of its run, or of its ONNX file.

    Where neither is known, they are called 0, 1, 2 …, each as often as the others. Raises UserError
    if what is known is damaged, or of another number of labels.
    """
    label = label_input(generator)
    if label is None:
        return Labels([], [])
    count, config = label.shape[0], os.path.join(os.path.dirname(path), 'config.json')
    if path.lower().endswith('.onnx'):
        found = onnx_generator.training_of(path)
    else:
        found = read_json(config) if os.path.isfile(config) else {}
    labels = labels_of(found)
    if labels.names and len(labels.names) != count:
        raise UserError('%s takes %d labels, and its run had %d' % (path, count,
                                                                    len(labels.names)))
    return labels if labels.names else Labels([str(i) for i in range(count)], [1] * count)
