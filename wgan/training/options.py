"""The command line of wgan_training.py, and what its settings are by default."""

import os

from wgan.machine import processes
from wgan.machine.command_line import Parser, UserError, number
from wgan.machine.device import add_device_option
from wgan.scores.image_network import add_network_options
from wgan.datasets.images import IMAGE_SIZES
from wgan.datasets.labels import WHERE
from wgan.training.objectives import OBJECTIVES, OF_THE_LOOP
from wgan.training.presets import CNTK_BETA2_PER_SAMPLE, PRESETS
from wgan.runs.resuming import CHANGEABLE, names_to_change, option_of, resumed_options
from wgan.runs.folder import RunFolder
from wgan.runs.place import check_place
from wgan.datasets.text import LONG_LINES

# Defaults of settings that a training on images has, and one on text. None: decided otherwise.
OF_IMAGES = dict(data='data/drawn', image_size=256, width=32, latent_size=100, batch_size=16,
                 hold_out=0.0, score_count=5000)
OF_TEXT = dict(data='data/names.txt', length=10, long_lines='drop', width=64, latent_size=128,
               batch_size=64, hold_out=0.1, score_every=500, score_count=10000)
# As gan_language.py has them, for its objective; but its steps of 1e-4 are for networks of width
# 512, and too small for those of 64: docs/text.md.
OF_TEXT_WGAN_GP = dict(learning_rate=5e-4, beta1=0.5, beta2=0.9)
NOT_OF_TEXT = ('image_size', 'channels', 'labels', 'augment', 'brightness', 'contrast',
               'saturation', 'mirror', 'inception', 'resize', 'scale', 'features_output',
               'classes_output', 'engine')
NOT_OF_IMAGES = ('length', 'long_lines')
VARIATION = 0.2                         # of brightness, contrast, saturation: the article's
COUNT, SEED = number(int, 1), number(int, 0, 2 ** 32 - 1)
RATE, PART = number(float, 0, above=True), number(float, 0, 1)
DECAY = number(float, 0, 1, below=True)


def parser():
    p = Parser(description='Train a Wasserstein GAN, or a relative, on images of faces, or on '
               'lines of text. The defaults are those of the article.', usage='%(prog)s [options]')
    _add_files(p.add_argument_group('what goes in, what comes out'))
    _add_networks(p.add_argument_group('networks'))
    _add_training(p.add_argument_group('training'))
    _add_variation(p.add_argument_group('variation of the images'))
    _add_watching(p.add_argument_group('watching it'))
    add_network_options(p, required=False)
    return p


def _add_files(g):
    g.add_argument('--data', help='folder of images, searched through, or a map file with lines '
                   'of path<TAB>label; with --text a text file, a line an example'
                   + default_of('data'))
    g.add_argument('--text', action='store_true', help='train on lines of text')
    g.add_argument('--long-lines', choices=LONG_LINES, help='what becomes of lines that are longer '
                   'than --length' + default_of('long_lines'))
    g.add_argument('--labels', choices=WHERE, help='make images of a kind: each has a label, the '
                   'last column of the map file, or the first folder below --data')
    g.add_argument('--out', default='runs/wgan', help='run folder to write')
    g.add_argument('--start-from', metavar='RUN', help='begin with the networks of another run, '
                   'of the same sizes; the optimisers begin anew')
    g.add_argument('--resume', action='store_true', help='continue from the last checkpoint in '
                   '--out; settings that are not given are taken from there')
    g.add_argument('--overwrite', action='store_true', help='delete the run that --out holds and '
                   'start again; files that it did not write stay')
    g.add_argument('--allow-change', type=names_to_change, default=(), metavar='NAMES',
                   help='with --resume: settings that may be others from now on, with commas '
                   'between them: ' + ', '.join(n.replace('_', '-') for n in CHANGEABLE))


def _add_networks(g):
    g.add_argument('--image-size', type=int, choices=IMAGE_SIZES,
                   help='width and height of the images' + default_of('image_size'))
    g.add_argument('--length', type=number(int, 4, 1000), help='characters of a line of text'
                   + default_of('length'))
    g.add_argument('--channels', type=int, choices=(1, 3), help='1 for grey images, 3 for RGB '
                   '(default: 1 if all images are grey)')
    g.add_argument('--width', type=COUNT, help='channels of the widest layers of image size; the '
                   'others have 2, 4, 8 … times as many. For text: channels of all layers'
                   + default_of('width'))
    g.add_argument('--latent-size', type=COUNT, help='numbers an image or a line is made from'
                   + default_of('latent_size'))


def _add_training(g):
    g.add_argument('--preset', choices=list(PRESETS), help='settings of a source, for all that is '
                   'not given: see docs/presets.md')
    g.add_argument('--objective', choices=list(OBJECTIVES), default='wgan-gp',
                   help='what is trained for: see wgan/training/objectives.py')
    g.add_argument('--iterations', type=COUNT, default=50000, help='updates of the generator')
    g.add_argument('--batch-size', type=COUNT, help='images or lines for one update'
                   + default_of('batch_size'))
    g.add_argument('--n-critic', type=COUNT, help='critic updates for one of the generator'
                   + defaults_of('n_critic'))
    g.add_argument('--n-critic-boost', type=number(int, 0), help='critic updates in each of the '
                   'first 25 iterations and in every 500th after them; 0: as in the others'
                   + defaults_of('n_critic_boost'))
    g.add_argument('--learning-rate', type=RATE, help='step size of Adam or (wgan) RMSProp, per '
                   'update' + defaults_of('learning_rate'))
    g.add_argument('--beta1', type=DECAY, help="Adam's β1, per update" + defaults_of('beta1'))
    g.add_argument('--beta2', type=DECAY, help="Adam's β2, per update" + defaults_of('beta2'))
    g.add_argument('--penalty-weight', type=number(float, 0), help='weight λ of the gradient '
                   'penalty' + defaults_of('penalty_weight'))
    g.add_argument('--margin-weight', type=number(float, 0), help='weight of the distance of two '
                   'images, which is the margin between their scores'
                   + defaults_of('margin_weight'))
    g.add_argument('--weight-decay', type=number(float, 0), help='part of a weight that is added '
                   'to its gradient' + defaults_of('weight_decay'))
    g.add_argument('--clip', type=RATE, help="bound of the critic's weights"
                   + defaults_of('clip'))
    g.add_argument('--minimax', action='store_true', default=None, help="train the generator to "
                   "make the critic's loss large, not to make its images look real"
                   + defaults_of('minimax'))
    g.add_argument('--ema', type=DECAY, default=0.999, help="decay of the moving average of the "
                   "generator's weights, per update; 0: none")
    g.add_argument('--seed', type=SEED, default=0, help='decides every random number of the run')
    add_device_option(g)
    g.add_argument('--deterministic', action='store_true', help='on a GPU, convolutions that sum '
                   'in the same order each time: slower, and the same run again')
    g.add_argument('--tf32', action='store_true', help='on a GPU of compute capability 8.0 or '
                   'newer, round the operands of convolutions and products to 10 bits: faster')


def _add_variation(g):
    g.add_argument('--augment', action='store_true', help='change real and generated images at '
                   'random before the critic sees them (colour, translation, cutout): for few '
                   'images; see wgan/training/augmentation.py')
    for name, what in (('brightness', 'shift of the real images by up to this part of their mean'),
                       ('contrast', 'factor 1 ± this, of the real images'),
                       ('saturation', 'factor 1 ± this, of the real images')):
        g.add_argument('--' + name, type=PART, help='random %s; 0: off (default: %g; with '
                       '--augment 0)' % (what, VARIATION))
    g.add_argument('--no-mirror', dest='mirror', action='store_false',
                   help='do not flip half of the images left to right')


def _add_watching(g):
    g.add_argument('--sample-every', type=COUNT, default=500, help='iterations between two grids '
                   'of generated images, or files of generated lines')
    g.add_argument('--checkpoint-every', type=COUNT, default=1000, help='iterations between two '
                   'checkpoints; the networks and the loss plot are saved with them')
    g.add_argument('--hold-out', type=number(float, 0, 1, below=True),
                   help='part of the data that is never trained on, 0.1 for a tenth; what the '
                   'critic makes of it is logged beside what it makes of the rest'
                   + default_of('hold_out'))
    g.add_argument('--tensorboard', action='store_true', help='also write losses and grids for '
                   'TensorBoard, to the folder tensorboard of the run')
    g.add_argument('--score-every', type=COUNT, help='iterations between two scores (Inception '
                   'Score, FID, KID, precision, recall …) of the generator; the best by FID is '
                   'kept. Needs --inception. With --text the divergence of n-grams, every 500 '
                   'if not given')
    g.add_argument('--score-count', type=number(int, 10), help='images or lines to generate for a '
                   'score; and training images, or lines held out, at most to compare them with'
                   + default_of('score_count'))


def default_of(name):
    """The part of a help text that says what an option is by default."""
    shown = [kind + ('%g' if isinstance(defaults[name], float) else '%s') % defaults[name]
             for kind, defaults in (('', OF_IMAGES), ('with --text ', OF_TEXT)) if name in defaults]
    return ' (default: %s)' % '; '.join(shown)


def defaults_of(name):
    """The part of a help text that says what an option is by default."""
    def shown(value):
        return ("CNTK's own, 0.9999986 per sample, to the power of the batch size"
                if value is None else 'off' if value is False else '%g' % value)

    settings = [(name_of, objective.settings) for name_of, objective in OBJECTIVES.items()]
    settings.append(('--text with wgan-gp', OF_TEXT_WGAN_GP))
    return ' (default for ' + '; '.join('%s: %s' % (name_of, shown(of_it[name]))
                                        for name_of, of_it in settings if name in of_it) + ')'


def set_defaults(options):
    """Settings that are not given, by what is trained on and by the objective; raises UserError
    for some that those have not.
    """
    plain = parser()
    for name in NOT_OF_TEXT if options.text else NOT_OF_IMAGES:
        if getattr(options, name) != plain.get_default(name):
            raise UserError('%s %s' % (
                {'mirror': '--no-mirror'}.get(name, option_of(name)),
                'is for images, and has no meaning with --text' if options.text
                else 'is for text: give --text too'))
    defaults = OF_TEXT if options.text else OF_IMAGES
    if options.text and options.objective == 'wgan-gp':
        defaults = dict(defaults, **OF_TEXT_WGAN_GP)
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    settings = OBJECTIVES[options.objective].settings
    for name in sorted(set().union(*(o.settings for o in OBJECTIVES.values()))):
        if name not in settings and getattr(options, name) is not None:
            raise UserError('%s has no meaning for --objective %s, which has %s' % (
                option_of(name), options.objective, ', '.join(map(option_of, settings))))
        if name in settings and getattr(options, name) is None:
            setattr(options, name, settings[name])
    if 'beta2' in settings and options.beta2 is None:
        options.beta2 = CNTK_BETA2_PER_SAMPLE ** options.batch_size
    for name in () if options.text else ('brightness', 'contrast', 'saturation'):
        if getattr(options, name) is None:
            setattr(options, name, 0.0 if options.augment else VARIATION)


def objective_settings(options):
    """The settings of the objective that the options name, as a dict, but those of the loop."""
    return {name: getattr(options, name) for name in OBJECTIVES[options.objective].settings
            if name not in OF_THE_LOOP}


def with_preset(p, arguments=None):
    """What the parser p makes of a command line, with the settings of its preset, if it names one.

    arguments: the command line; None: that of this program. Raises UserError if the preset is for
    another objective than the command line names.
    """
    options = p.parse_args(arguments)
    if options.preset is None:
        return options
    p.set_defaults(**PRESETS[options.preset])
    objective, options = PRESETS[options.preset]['objective'], p.parse_args(arguments)
    if options.objective != objective:
        raise UserError('--preset %s is for --objective %s, not %s' % (
            options.preset, objective, options.objective))
    if options.text != PRESETS[options.preset].get('text', False):
        raise UserError('--preset %s is for images, not for --text' % options.preset)
    return options


def read_options():
    """(options, config, changes): the settings of this run, checked against what --out holds.

    config, changes: None and [], or, for a run that is resumed, those of `resumed_options`.
    """
    options, config, changes = with_preset(parser()), None, []
    processes.start()
    out = RunFolder(options.out)
    if options.resume and options.overwrite:
        raise UserError('--resume and --overwrite exclude each other')
    if options.allow_change and not options.resume:
        raise UserError('--allow-change has a meaning only with --resume')
    if options.resume:
        if not os.path.isdir(options.out) or out.foreign():
            raise UserError('--resume: %s holds no run' % out.shown)
        options, config, changes = resumed_options(out, parser)
    set_defaults(options)
    check_place(options.out, options.data, out)
    if options.start_from is not None and not options.resume and os.path.realpath(
            options.start_from) == os.path.realpath(options.out):
        raise UserError('--start-from and --out are the same folder; --resume continues a run, '
                        'and a new one needs another --out')
    if not options.resume and not options.overwrite and out.holds_a_run():
        raise UserError('%s holds a run already; continue it with --resume, delete it with '
                        '--overwrite, or choose another --out' % out.shown)
    if not options.text and bool(options.score_every) != bool(options.inception):
        raise UserError('--score-every and --inception need each other')
    if options.batch_size % processes.COUNT:
        raise UserError('--batch-size %d is the total, and can not be shared evenly by %d processes'
                        % (options.batch_size, processes.COUNT))
    processes.wait_for_all()            # before the first one writes into --out
    return options, config, changes
