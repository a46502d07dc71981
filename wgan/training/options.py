"""The options of wgan_training.py: one table for parser, help, defaults, errors and --resume."""

import argparse
from collections import namedtuple

from wgan.datasets.images import IMAGE_SIZES
from wgan.datasets.labels import WHERE
from wgan.datasets.text import LONG_LINES
from wgan.machine.command_line import Parser, UserError, number
from wgan.machine.device import add_device_option
from wgan.scores.image_network import add_network_options
from wgan.training.objectives import OBJECTIVES
from wgan.training.presets import CNTK_BETA2_PER_SAMPLE, PRESETS

# What happens to an option when a run is resumed.
FIXED = 'keeps its value'
CHANGEABLE = 'changes if --allow-change names it, from the next iteration on'
FREE = 'may change'
UNTIL_SCORED = 'may change as long as the run has no scores'
NOT_STORED = 'is not stored with the run'

NETWORKS = ('dcgan', 'resnet')          # for images: see wgan_training.MODULES
ABSENT = object()               # the default where an option does not apply

# A row of the table. type: converts text to the value; bool for a switch. choices: or None. images,
# text: the defaults for training on images and on text; ABSENT where it does not apply.
# by_objective: the objective has the default, and it applies only to objectives with one. note:
# text for the help in the place of the default. resume: one of the constants above.
Option = namedtuple('Option', 'name help type choices images text by_objective note resume metavar')


def path(text):
    """An argparse type: a file or folder. Its absolute path is saved with the run."""
    return text


def names_to_change(text):
    """An argparse type: a comma-separated list of options, converted to their names here."""
    names = tuple(name.strip().replace('-', '_') for name in text.split(','))
    wrong = [name for name in names if name not in names_that(CHANGEABLE)]
    if wrong:
        raise argparse.ArgumentTypeError('%r can not be changed; these can: %s' % (
            wrong[0], ', '.join(n.replace('_', '-') for n in names_that(CHANGEABLE))))
    return names


COUNT, SEED = number(int, 1), number(int, 0, 2 ** 32 - 1)
RATE, PART, WEIGHT = number(float, 0, above=True), number(float, 0, 1), number(float, 0)
DECAY = number(float, 0, 1, below=True)
# The settings of gan_language.py, except for its learning rate of 1e-4, which is for networks of
# width 512 and too small for width 64: docs/text.md.
OF_TEXT_WGAN_GP = dict(learning_rate=5e-4, beta1=0.5, beta2=0.9)
# Karras et al. 2020, 'Training Generative Adversarial Networks with Limited Data',
# https://arxiv.org/abs/2006.06676: the rule of the authors' code, train.py, for γ of R1.
ADA_GAMMA = 0.0002                      # times the pixels of an image, for a batch of one
VARIATION = 0.2                         # of brightness, contrast, saturation, as in the article


def _option(name, type=str, images=None, help='', choices=None, text='the same', note=None,
            resume=FIXED, metavar=None):
    return Option(name, help, type, choices, images, images if text == 'the same' else text, False,
                  note, resume, metavar)


def _of_images(*args, **kwargs):
    return _option(*args, text=ABSENT, **kwargs)


def _of_text(name, type, text, help, **kwargs):
    return _option(name, type, ABSENT, help, text=text, **kwargs)


def _of_objective(name, type, help, resume=FIXED, note=None):
    """note: what the help says where the default is None."""
    return _option(name, type, help=help, resume=resume, note=note)._replace(by_objective=True)


def _added_by(add_options, resume, text):
    """Returns Options for the options that a function adds to a parser."""
    actions = argparse.ArgumentParser(add_help=False)
    add_options(actions)
    return [Option(a.dest, a.help, a.type or str, a.choices, a.default,
                   a.default if text else ABSENT, False, None, resume, a.metavar)
            for a in actions._actions]


GROUPS = [
    ('input and output', [
        _option('data', path, 'data/drawn', 'folder of images (with subfolders), or a map file '
                'with lines of path<TAB>label; with --text a text file, one example a line',
                text='data/names.txt', resume=CHANGEABLE),
        _option('text', bool, False, 'train on lines of text'),
        _of_text('long_lines', str, 'drop', 'treatment of lines that are longer than --length',
                 choices=LONG_LINES),
        _of_images('labels', str, None, 'train with labels: the last column of the map file, or '
                   'the first folder below --data', choices=WHERE),
        _option('out', str, 'runs/wgan', 'run folder to write', resume=NOT_STORED),
        _option('start_from', path, None, 'begin with the networks of another run of the same '
                'sizes; the optimisers start from zero', metavar='RUN'),
        _option('resume', bool, False, 'continue from the last checkpoint in --out; settings that '
                'are not given are taken from there', resume=NOT_STORED),
        _option('overwrite', bool, False, 'start again where --out holds a run, which is renamed',
                resume=NOT_STORED),
        _option('allow_change', names_to_change, (), 'with --resume: comma-separated list of '
                'settings that may change: {changeable}', metavar='NAMES',
                resume=NOT_STORED)]),
    ('networks', [
        _of_images('network', str, NETWORKS[0], 'generator and critic: those of DCGAN, or the '
                   'residual networks of the WGAN-GP paper; see docs/networks.md',
                   choices=NETWORKS),
        _of_images('image_size', int, 256, 'width and height of the images', choices=IMAGE_SIZES),
        _of_text('length', number(int, 4, 1000), 10, 'characters of a line of text'),
        _of_images('channels', int, None, '1 for grey images, 3 for RGB', choices=(1, 3),
                   note='1 if all images are grey'),
        _option('width', COUNT, 32, 'channels of the layers at image size; the others have 2, 4, '
                '8 … times as many. For text, and for resnet at 32 pixels: channels of all layers',
                text=64),
        _option('latent_size', COUNT, 100, 'size of the latent vector', text=128)]),
    ('training', [
        _option('preset', str, None, 'use the settings of a paper or tutorial, or quick ones, for '
                'all options that are not given: see docs/presets.md', choices=list(PRESETS)),
        _option('objective', str, 'wgan-gp', 'the two losses: see wgan/training/objectives.py',
                choices=list(OBJECTIVES)),
        _option('iterations', COUNT, 50000, 'updates of the generator', resume=FREE),
        _option('batch_size', COUNT, 16, 'images or lines for one update', text=64,
                resume=CHANGEABLE),
        _of_objective('n_critic', COUNT, 'critic updates for each generator update', CHANGEABLE),
        _of_objective('n_critic_boost', number(int, 0), 'critic updates in each of the first 25 '
                      'iterations and in every 500th after them; 0: as in the others', CHANGEABLE),
        _of_objective('learning_rate', RATE, 'step size of Adam or (wgan) RMSProp, per update',
                      CHANGEABLE),
        _of_objective('beta1', DECAY, "Adam's β1, per update", CHANGEABLE),
        _of_objective('beta2', DECAY, "Adam's β2, per update", CHANGEABLE,
                      "CNTK's own, 0.9999986 per sample, to the power of the batch size"),
        _of_objective('penalty_weight', WEIGHT, 'weight λ of the gradient penalty'),
        _of_objective('one_sided', bool, 'penalise gradient norms above 1 only'),
        _of_objective('gamma', WEIGHT, 'weight γ of half of the squared gradient norm',
                      note='0.0002 · --image-size² / --batch-size'),
        _of_objective('margin_weight', WEIGHT, 'weight λ of the margin: the margin between the '
                      'scores of two images is λ times their distance'),
        _of_objective('weight_decay', WEIGHT, 'fraction of a weight to add to its gradient'),
        _of_objective('clip', RATE, "bound of the critic's weights"),
        _of_objective('minimax', bool, 'use the minimax loss for the generator, not the '
                      'non-saturating loss'),
        _option('ema', DECAY, 0.999, "decay of the moving average of the generator's weights, per "
                'update; 0: none'),
        _option('seed', SEED, 0, 'seed of all random numbers of the run')]
        + _added_by(add_device_option, NOT_STORED, text=True) + [
        _option('deterministic', bool, False, 'on a GPU, use deterministic convolutions: slower, '
                'but runs are repeatable'),
        _option('tf32', bool, False, 'on a GPU of compute capability 8.0 or newer, round the '
                'operands of convolutions and products to 10 bits: faster')]),
    ('variation of the images', [
        _of_images('augment', bool, False, 'change real and generated images at random before the '
                   'critic sees them (colour, translation, cutout): for few images; see '
                   'wgan/training/augmentation.py'),
        _of_images('augment_target', PART, None, 'with --augment and --hold-out: make each change '
                   'with a probability, which rises while the critic overfits more than this, and '
                   'falls while less. 0: it scores held-out images like training images; 1: like '
                   'generated images', note='the probability stays'),
        _of_images('augment_probability', number(float, 0, 1, above=True), None, 'with --augment: '
                   'probability of each change; with --augment-target: at the start',
                   note='1; with --augment-target 0')]
        + [_of_images(name, PART, None, 'random %s; 0: off' % meaning, resume=CHANGEABLE,
                      note='%g; with --augment 0' % VARIATION)
           for name, meaning in (
               ('brightness', 'shift of the real images by up to this part of their mean'),
               ('contrast', 'factor 1 ± this, of the real images'),
               ('saturation', 'factor 1 ± this, of the real images'))]
        + [_of_images('mirror', bool, True, 'do not flip half of the images left to right')]),
    ('output during training', [
        _option('sample_every', COUNT, 500, 'iterations between two grids of generated images, or '
                'files of generated lines', resume=FREE),
        _option('checkpoint_every', COUNT, 1000, 'iterations between two checkpoints; the networks '
                'and the loss plot are saved with them', resume=FREE),
        _option('hold_out', number(float, 0, 1, below=True), 0.0, 'fraction of the data to hold '
                'out; its Wasserstein estimate is logged beside that of the training data',
                text=0.1),
        _option('page', bool, False, 'also write page.html, a page of the run, with each '
                'checkpoint', resume=FREE),
        _option('tensorboard', bool, False, 'also write losses and grids for TensorBoard, to the '
                'folder tensorboard of the run', resume=FREE),
        _option('score_every', COUNT, None, 'iterations between two scores (Inception Score, FID, '
                'KID, precision, recall …) of the generator; the best by FID is kept. Needs '
                '--inception. With --text the divergence of n-grams', text=500, resume=FREE),
        _option('score_count', number(int, 10), 5000, 'images or lines to generate for a score, '
                'and largest number of training images or held-out lines to compare with',
                text=10000, resume=UNTIL_SCORED)]),
    ('the network that scores are measured with', [
        option._replace(type=path if option.name == 'inception' else option.type)
        for option in _added_by(lambda p: add_network_options(p, required=False), UNTIL_SCORED,
                                text=False)]),
]
OPTIONS = {option.name: option for _, options in GROUPS for option in options}
PATHS = [option.name for option in OPTIONS.values() if option.type is path]


def names_that(resume):
    """Returns the names of the options with this value of `resume`."""
    return [option.name for option in OPTIONS.values() if option.resume == resume]


def flag(name):
    """Returns an option as it is written on the command line."""
    switched_off = OPTIONS[name].type is bool and OPTIONS[name].images is True
    return ('--no-' if switched_off else '--') + name.replace('_', '-')


def parser():
    """Returns the parser. Options that are not on the command line are missing in its result."""
    p = Parser(description='Train a Wasserstein GAN, or a relative, on images of faces, or on '
               'lines of text. The defaults are those of the article.', usage='%(prog)s [options]',
               argument_default=argparse.SUPPRESS)
    for title, options in GROUPS:
        group = p.add_argument_group(title)
        for option in options:
            kwargs = dict(help=_help(option), dest=option.name)
            if option.type is bool:
                kwargs['action'] = 'store_false' if option.images is True else 'store_true'
            else:
                kwargs.update(type=option.type, choices=option.choices, metavar=option.metavar)
            group.add_argument(flag(option.name), **kwargs)
    return p


def _help(option):
    text = option.help.replace('{changeable}', ', '.join(
        n.replace('_', '-') for n in names_that(CHANGEABLE)))
    if option.by_objective:
        rows = [(name, row.settings) for name, row in OBJECTIVES.items()]
        texts = ['%s: %s' % (name, _as_text(settings[option.name], option.note))
                 for name, settings in rows + [('--text with wgan-gp', OF_TEXT_WGAN_GP)]
                 if option.name in settings]
        return text + ' (default for %s)' % '; '.join(texts)
    defaults = [words + _as_text(value) for words, value in (
        ('', option.images), ('with --text ' * (option.images is not ABSENT), option.text))
        if value not in (ABSENT, None, ()) and not isinstance(value, bool)]
    if option.images == option.text:
        defaults = defaults[:1]
    defaults = [option.note] if option.note else defaults
    return text + (' (default: %s)' % '; '.join(defaults) if defaults else '')


def _as_text(value, of_none=None):
    return (of_none if value is None else 'off' if value is False
            else '%g' % value if isinstance(value, float) else str(value))


def parse(arguments=None):
    """Returns all settings for a command line, as an argparse.Namespace.

    arguments: the command line; None: that of this program. Raises UserError for options that
    exclude each other.
    """
    return with_defaults(vars(parser().parse_args(arguments)))


def with_defaults(values):
    """Returns all settings: these values, a dict by name, then those of --preset, then the defaults
    for images or text and for the objective.

    An option that does not apply is None. Raises UserError for a value of such an option.
    """
    values = {name: value for name, value in values.items() if value is not None}
    values = dict(_preset(values), **values)
    is_text = values.get('text', False)
    objective = values.get('objective', OPTIONS['objective'].images)
    defaults = {o.name: o.text if is_text else o.images for o in OPTIONS.values()}
    settings = OBJECTIVES[objective].settings
    defaults.update({o.name: settings.get(o.name, ABSENT) for o in OPTIONS.values()
                     if o.by_objective})
    if is_text and objective == 'wgan-gp':
        defaults.update(OF_TEXT_WGAN_GP)
    for name in sorted(values):
        if defaults[name] is ABSENT:
            raise UserError(_no_meaning(OPTIONS[name], is_text, objective))
    options = argparse.Namespace(**{name: None if value is ABSENT else values.get(name, value)
                                    for name, value in defaults.items()})
    if is_text and OBJECTIVES[objective].normalization == 'spectral':
        raise UserError('--objective %s is for images: the networks for text have no spectral '
                        'normalisation' % objective)
    if 'beta2' in settings and options.beta2 is None:
        options.beta2 = CNTK_BETA2_PER_SAMPLE ** options.batch_size
    if 'gamma' in settings and options.gamma is None:
        if is_text:
            raise UserError('--objective %s with --text needs --gamma: its default is for images, '
                            'by their size' % objective)
        options.gamma = ADA_GAMMA * options.image_size ** 2 / options.batch_size
    if options.augment_target is not None and not (options.augment and options.hold_out):
        raise UserError('--augment-target needs --augment, and --hold-out for images to measure '
                        'the overfitting with')
    if options.augment_probability is not None and not options.augment:
        raise UserError('--augment-probability needs --augment')
    for name in () if is_text else ('brightness', 'contrast', 'saturation'):
        if getattr(options, name) is None:
            setattr(options, name, 0.0 if options.augment else VARIATION)
    return options


def _no_meaning(option, is_text, objective):
    if option.by_objective:
        return '%s has no meaning for --objective %s, which has %s' % (
            flag(option.name), objective, ', '.join(map(flag, OBJECTIVES[objective].settings)))
    return '%s %s' % (flag(option.name), 'is for images, and has no meaning with --text'
                      if is_text else 'is for text: give --text too')


def _preset(values):
    """Returns the settings of --preset. Raises UserError if it is for another objective."""
    name = values.get('preset')
    if name is None:
        return {}
    preset = PRESETS[name]
    if values.get('objective', preset['objective']) != preset['objective']:
        raise UserError('--preset %s is for --objective %s, not %s' % (
            name, preset['objective'], values['objective']))
    if values.get('text') and not preset.get('text'):
        raise UserError('--preset %s is for images, not for --text' % name)
    return preset


def objective_settings(options):
    """Returns the settings of the objective, a dict."""
    return {name: getattr(options, name) for name in OBJECTIVES[options.objective].settings}


def is_valid(name, value):
    """Whether a value has the type and range of an option. `with_defaults` checks None."""
    option = OPTIONS[name]
    if option.type is bool:
        return isinstance(value, bool)
    try:
        parsed = option.type(value if isinstance(value, str) else repr(value))
    except (ValueError, argparse.ArgumentTypeError):
        return False
    return (type(parsed) is type(value) and parsed == value and '\0' not in str(value)
            and (option.choices is None or parsed in option.choices))
