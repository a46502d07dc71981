"""Loads trained generators from CNTK or ONNX files, with the settings of their runs."""

import os

from wgan.machine.command_line import UserError, note, one_line
from wgan.machine.cntk import quiet
from wgan.machine.cntk_files import load_model
from wgan.generators import onnx_file
from wgan.machine.disk import read_json
from wgan.generators.evaluation import label_input, latent_input, makes_text
from wgan.datasets.labels import Labels, labels_of
from wgan.datasets.text import known_characters

# The generators in a run folder, best first: the one with the lowest FID, if the run was scored;
# then the averaged weights.
GENERATORS = ('wgan_generator_best.model', 'wgan_generator_average.model', 'wgan_generator.model')


class Generator:
    """A trained generator: `network`, loaded from the file `path`.

    source: a run folder or a file. of_text: True if it has to generate text, False for images,
    None for either.
    Raises UserError if there is no such generator.
    """

    def __init__(self, source, of_text=None):
        self.name, self.path = source, find_generator(source)
        self.network = load_generator(self.path)
        self.latent_size = latent_input(self.network).shape[0]
        if of_text is False and makes_text(self.network):
            raise UserError('%s is a generator of text: wgan_generate.py writes lines of it, to a '
                            '.txt file' % one_line(self.path))
        if of_text and not makes_text(self.network):
            raise UserError('%s is a generator of images, and a .txt file holds lines of text'
                            % one_line(self.path))

    @property
    def config(self):
        """The config.json of its run: see `config_of`."""
        return config_of(self.path)

    @property
    def labels(self):
        """Its Labels. If their names are unknown, they are 0, 1, 2 …, with equal counts.

        Raises UserError if the labels of the run are damaged, or their number does not fit.
        """
        label = label_input(self.network)
        if label is None:
            return Labels([], [])
        count, labels = label.shape[0], labels_of(self.config)
        if labels.names and len(labels.names) != count:
            raise UserError('%s takes %d labels, and its run had %d' % (self.path, count,
                                                                        len(labels.names)))
        return labels if labels.names else Labels([str(i) for i in range(count)], [1] * count)

    @property
    def characters(self):
        """The list of its characters, END first.

        Raises UserError if its run is not known, or had others.
        """
        characters, count = known_characters(self.config), self.network.output.shape[0]
        if characters is None or len(characters) != count:
            raise UserError('%s makes %d characters, and its config.json %s; keep it in its run '
                            'folder, or export it from there' % (
                                self.path, count, 'does not say which' if characters is None else
                                'knows %d' % len(characters)))
        return characters


def find_generator(path):
    """Returns the model file of `path`, a run folder or a file. If a folder has several, it prints
    which one it takes. Raises UserError.
    """
    if os.path.isfile(path):
        return path
    names = [name for name in GENERATORS if os.path.isfile(os.path.join(path, name))]
    if len(names) > 1:
        note('taking %s, of the %d generators in %s' % (names[0], len(names), one_line(path)))
    if names:
        return os.path.join(path, names[0])
    if not os.path.isdir(path):
        raise UserError('%s is no run folder and no model file' % path)
    raise UserError('there is no model in %s; training writes %s with each checkpoint'
                    % (path, GENERATORS[-1]))


def load_generator(path):
    """Loads the network in a CNTK or ONNX file. Raises UserError if it is no generator."""
    of_onnx = path.lower().endswith('.onnx')
    with quiet():
        try:
            model = onnx_file.load(path) if of_onnx else load_model(path)
        except (RuntimeError, ValueError) as error:
            raise UserError('cannot read %s as %s model (%s)' % (
                path, 'an ONNX' if of_onnx else 'a CNTK', str(error).split('\n')[0] or 'damaged'))
    latents, outputs = ([x.shape for x in model.arguments if x != label_input(model)],
                        [y.shape for y in model.outputs])
    if not (len(latents) == len(outputs) == 1 and len(latents[0]) == 1
            and len(outputs[0]) == 3 and (outputs[0][0] in (1, 3) or makes_text(model))):
        raise UserError('%s is a model, but no generator: it makes %s from %s, not one image '
                        '(3, S, S) or (1, S, S) from one latent (N,)' % (path, outputs, latents))
    return model


def config_of(path):
    """Returns the config.json beside a generator's file, or the copy in an ONNX file; {} if there
    is none. Raises UserError if it is damaged.
    """
    if path.lower().endswith('.onnx'):
        return onnx_file.training_of(path)
    path = os.path.join(os.path.dirname(path), 'config.json')
    if not os.path.isfile(path):                # a model file may have left its run folder
        return {}
    try:
        config = read_json(path)
    except ValueError:
        config = None
    if not isinstance(config, dict) or 'settings' not in config:
        raise UserError('%s is damaged: it is not what training wrote; move it away to use the '
                        'generator without the settings of its run' % one_line(path))
    return config
