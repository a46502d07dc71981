"""Train a Wasserstein GAN (or one of its relatives) on a folder of pictures.

    python wgan_training.py --data photographs --out runs/faces --image-size 64

The loop is algorithm 1 of Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028; what is
trained for is one of objectives.py. Everything a run makes goes into its folder: settings, losses,
picture grids, checkpoints, the two networks.
"""

import json
import os
import platform
import shutil
import signal
import sys
import time

from command_line import Parser, Progress, UserError, number, run
from quiet_cntk import C, quiet, select_device

import cv2
import numpy as np

import checkpoint
import models
from animation import animate_samples, find_grids
from faces import Batches, Faces, grid, to_pictures, write_picture
from image_network import add_network_options
from learners import RmsProp, adam
from moving_average import MovingAverage
from objectives import OBJECTIVES
from plot_losses import plot
from training_scores import TrainingScores

GRID = 8                                        # sample grids are GRID × GRID
# The settings that each objective has, with their defaults: the article's for the first, the WGAN
# paper's for the second, DCGAN's for the others (https://arxiv.org/abs/1511.06434, section 4).
SETTINGS = {
    'wgan-gp': dict(n_critic=5, learning_rate=1e-4, beta1=0.0, beta2=None, penalty_weight=10.0),
    'wgan': dict(n_critic=5, learning_rate=5e-5, clip=0.01),
    'gan': dict(n_critic=1, learning_rate=2e-4, beta1=0.5, beta2=0.999, minimax=False),
    'dragan': dict(n_critic=1, learning_rate=2e-4, beta1=0.5, beta2=0.999, penalty_weight=10.0,
                   minimax=False),
}
# How the critic is normalised: the articles' way, but by sample where its gradient is penalised.
NORMALIZATION = {'wgan-gp': 'layer', 'wgan': 'batch', 'gan': 'batch', 'dragan': 'layer'}
# CNTK's default β2 is given for one sample (0.999 over 720 samples); a minibatch of N has this ^ N.
CNTK_BETA2_PER_SAMPLE = 0.999 ** (1 / 720)
# What may differ when a run is resumed; all else decides what the weights become.
FREE_TO_CHANGE = ('out', 'iterations', 'device', 'sample_every', 'checkpoint_every', 'resume',
                  'overwrite', 'tensorboard', 'score_every')
# These may be new when a run is resumed, but not other than its earlier scores had them.
SCORING = ('inception', 'score_count', 'resize', 'scale', 'features_output', 'classes_output',
           'engine')


def train(options):
    """Run the training that the options describe, from the start or from the last checkpoint."""
    device = select_device(options.device)
    out = RunFolder(options.out)
    os.makedirs(options.out, exist_ok=True)     # if it can't be written, say so before the work
    rng = np.random.RandomState(options.seed)
    faces = Faces(options.data, options.image_size)
    scores = (TrainingScores(faces, options, device, out.path('scores.csv'))
              if options.score_every else None)
    batches = Batches(faces, options.batch_size, rng, options.brightness, options.contrast,
                      options.saturation, options.mirror)

    # The networks, the losses, and one trainer each.
    generator = models.generator(options.image_size, options.latent_size, options.width,
                                 seed=rng.randint(2 ** 31))
    critic = models.critic(options.image_size, options.width, seed=rng.randint(2 ** 31),
                           normalization=NORMALIZATION[options.objective])
    latent, image = generator.arguments[0], critic.arguments[0]
    real = C.input_variable(image.shape, name='real')
    fake = C.input_variable(image.shape, name='fake')
    objective = build_objective(options, generator, critic, real, fake)
    average = MovingAverage(generator, options.ema) if options.ema else None
    kept = [average] if average else []             # what is saved beside the trainers
    logged = list(objective.logged.values())
    critic_trainer = trainer(objective.critic_loss, logged, critic, 'critic', options, kept)
    generator_trainer = trainer(objective.generator_loss, [], generator, 'generator', options, kept)
    trainers = {'critic': critic_trainer, 'generator': generator_trainer}
    columns = ['step', 'G_loss', 'C_loss', *objective.logged, 'seconds']

    if options.resume:
        path, step = out.latest_checkpoint()
        restore(path, trainers, batches, rng, kept)
        out.drop_rows_after(step)
    else:
        step = 0
        out.create(columns)
        write_picture(out.path('samples', 'real.png'),
                      grid(to_pictures(batches.next()), columns=GRID))
    out.write_settings(options, device, faces, scores)
    shown = average.generator if average else generator
    watched = np.random.RandomState(options.seed).standard_normal(
        (GRID * GRID, options.latent_size)).astype(np.float32)

    def draw_latents():
        return rng.standard_normal((options.batch_size, options.latent_size)).astype(np.float32)

    def save_samples():
        pictures = to_pictures(models.generate(shown, watched, options.batch_size))
        sheet = grid(pictures, columns=GRID)
        write_picture(out.path('samples', 'step_%06d.png' % step), sheet)
        if board:
            board.add_image('samples', sheet, step, dataformats='HWC')

    def save_all():
        checkpoint.save(out.path('checkpoints'), step, trainers, state_of(batches, rng, kept))
        generator.save(out.path('wgan_generator.model'))
        if average:
            average.generator.save(out.path('wgan_generator_average.model'))
        critic.save(out.path('wgan_critic.model'))
        plot([out.path('wgan.csv')], out.path('losses.png'))

    progress = Progress('training', options.iterations, done=step)
    board = tensorboard(out.path('tensorboard'), step) if options.tensorboard else None
    stopped = False
    with StopSignal() as stop, open(out.path('wgan.csv'), 'a') as losses:
        while step < options.iterations and not stopped:
            start = time.time()

            # n_critic updates of the critic: the same fakes in all terms of its loss.
            for _ in range(options.n_critic):
                fakes = models.generate_in_training(generator, draw_latents())
                reals = batches.next()
                feed = {variable: draw(rng, reals) for variable, draw in objective.draws.items()}
                feed.update({real: reals, fake: fakes})
                _, values = critic_trainer.train_minibatch(feed, outputs=logged)

            # One update of the generator.
            generator_trainer.train_minibatch({latent: draw_latents()})

            step += 1
            if average:
                average.update(step)
            row = [generator_trainer.previous_minibatch_loss_average,
                   critic_trainer.previous_minibatch_loss_average]
            row += [float(np.mean(values[f])) for f in logged]
            said = ' '.join('%s %.4g' % pair for pair in zip(columns[1:], row))
            if not np.all(np.isfinite(row)):
                raise UserError('iteration %d: a loss is no longer a number (%s); nothing of it '
                                'was saved; a smaller --learning-rate usually helps' % (step, said))
            losses.write(','.join(['%d' % step] + ['%.9g' % value for value in row]
                                  + ['%.3f\n' % (time.time() - start)]))
            losses.flush()
            for name, value in zip(columns[1:], row) if board else ():
                board.add_scalar(name, value, step)
            progress.show(step, said)

            stopped = stop.requested and step < options.iterations
            done = step == options.iterations
            last = stopped or done
            if scores and (step % options.score_every == 0 or done):
                if scores.add(step, shown):
                    shown.save(out.path('wgan_generator_best.model'))
                plot([out.path('scores.csv')], out.path('scores.png'))
            if step % options.sample_every == 0 or last:
                save_samples()
            if step % options.checkpoint_every == 0 or last:
                save_all()

    if board:
        board.close()
    if stopped:
        progress.end('stopped after iteration %d and saved; go on with: --out %s --resume'
                     % (step, options.out))
        return 130                                  # what shells expect after Ctrl-C
    progress.end('%d iterations in %s' % (step, options.out))
    if len(find_grids(options.out)) > 1:
        animate_samples(options.out, out.path('training.gif'))


def build_objective(options, generator, critic, real, fake):
    """The objective that the options name, with those of its settings that are of the losses."""
    own = {name: getattr(options, name) for name in ('penalty_weight', 'minimax')
           if name in SETTINGS[options.objective]}
    latent = generator.arguments[0]
    return OBJECTIVES[options.objective](generator, critic, latent, real, fake, **own)


def trainer(loss, logged, network, name, options, kept):
    """A CNTK Trainer that makes `loss` small by changing the weights of `network` alone.

    logged: what else its train_minibatch is asked for. What its learner needs to have saved, and
    CNTK does not save, is appended to `kept`.
    """
    if options.objective == 'wgan':
        rmsprop = RmsProp(name, network.parameters, options.learning_rate, options.batch_size,
                          clip=options.clip if name == 'critic' else None)
        kept.append(rmsprop)
        learner = rmsprop.learner
    else:
        learner = adam(network.parameters, options.learning_rate, options.beta1, options.beta2)
    with quiet():                       # CNTK remarks that the other network isn't trained
        return C.Trainer(C.combine([loss] + logged), (loss, None), [learner])


def state_of(batches, rng, kept):
    state = dict(checkpoint.random_state(rng), order=batches.order, position=batches.position)
    for part in kept:
        state.update(part.arrays())
    return state


def restore(path, trainers, batches, rng, kept):
    state = checkpoint.restore(path, trainers)
    checkpoint.set_random_state(rng, state)
    for part in kept:
        part.restore(state)
    if len(state['order']) != len(batches.faces):
        raise UserError('--resume: %s had %d readable pictures and now has %d'
                        % (batches.faces.source, len(state['order']), len(batches.faces)))
    batches.order, batches.position = state['order'], int(state['position'])


def tensorboard(folder, step):
    """A writer of losses and grids for TensorBoard, going on after `step`.

    CNTK brings one (C.logging.TensorBoardProgressWriter), but on a current Linux only its numbers
    work: for pictures it wants libjpeg 8. tensorboardX writes both.
    """
    from tensorboardX import SummaryWriter          # takes a second, which other runs save
    return SummaryWriter(folder, purge_step=step + 1 if step else None)


class StopSignal:
    """While entered, the first Ctrl-C only sets `requested`; a second one stops at once."""

    def __enter__(self):
        self.requested = False
        self.previous = signal.signal(signal.SIGINT, self._request)
        return self

    def __exit__(self, *_):
        signal.signal(signal.SIGINT, self.previous)

    def _request(self, *_):
        self.requested = True
        signal.signal(signal.SIGINT, self.previous)
        print('\nstopping after this iteration …', file=sys.stderr)


class RunFolder:
    """runs/NAME: what stands where in it. Deleting the folder deletes the run."""

    CONTENT = ('config.json', 'wgan.csv', 'samples', 'checkpoints', 'wgan_generator.model',
               'wgan_generator_average.model', 'wgan_generator_best.model', 'wgan_critic.model',
               'losses.png', 'scores.csv', 'scores.png', 'training.gif', 'tensorboard')

    def __init__(self, folder):
        self.folder = folder

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def holds_a_run(self):
        return any(os.path.exists(self.path(name)) for name in self.CONTENT)

    def create(self, columns):
        """Make the folder and an empty CSV; remove what an earlier run left there."""
        for name in self.CONTENT:
            path = self.path(name)
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif os.path.exists(path):
                os.remove(path)
        os.makedirs(self.path('samples'))
        os.makedirs(self.path('checkpoints'))
        with open(self.path('wgan.csv'), 'w') as losses:
            losses.write(','.join(columns) + '\n')

    def latest_checkpoint(self):
        found = checkpoint.latest(self.path('checkpoints'))
        if found is None:
            raise UserError('--resume: there is no checkpoint in %s; leave --resume out to start '
                            'a new run' % self.path('checkpoints'))
        return found

    def drop_rows_after(self, step):
        """Rows after the checkpoint will be written again, the same."""
        for name in ('wgan.csv', 'scores.csv'):
            if not os.path.exists(self.path(name)):
                continue
            with open(self.path(name)) as file:
                head, *rows = file.readlines()
            with open(self.path(name + '.new'), 'w') as file:
                file.writelines([head] + [r for r in rows if int(r.split(',')[0]) <= step])
            os.replace(self.path(name + '.new'), self.path(name))

    def read_settings(self):
        try:
            with open(self.path('config.json')) as file:
                return json.load(file)['settings']
        except (FileNotFoundError, NotADirectoryError):
            raise UserError('--resume: %s holds no run (no config.json)' % self.folder)
        except (ValueError, KeyError):
            raise UserError('%s is damaged; without it a run can\'t be resumed'
                            % self.path('config.json'))

    def write_settings(self, options, device, faces, scores):
        """config.json: every setting, what it ran on, and the versions."""
        config = {
            'settings': vars(options),
            'device': device,
            'pictures': len(faces),
            'unreadable_pictures': len(faces.unreadable),
            'scores': scores.described() if scores else None,
            'versions': {'python': platform.python_version(), 'cntk': C.__version__,
                         'numpy': np.__version__, 'opencv': cv2.__version__},
        }
        with open(self.path('config.json.new'), 'w') as file:
            json.dump(config, file, indent=2, sort_keys=True)
            file.write('\n')
        os.replace(self.path('config.json.new'), self.path('config.json'))


def parser():
    p = Parser(description='Train a Wasserstein GAN, or a relative, on pictures of faces. '
               'The defaults are those of the article.', usage='%(prog)s [options]')
    count, seed = number(int, 1), number(int, 0, 2 ** 32 - 1)
    rate, part = number(float, 0, above=True), number(float, 0, 1)
    decay = number(float, 0, 1, below=True)

    g = p.add_argument_group('what goes in, what comes out')
    g.add_argument('--data', default='data/drawn', help='folder of pictures, searched through, or '
                   'a map file with lines of path<TAB>label')
    g.add_argument('--out', default='runs/wgan', help='run folder to write')
    g.add_argument('--resume', action='store_true', help='go on from the last checkpoint in --out; '
                   'settings that are not given are taken from there')
    g.add_argument('--overwrite', action='store_true', help='delete the run that --out holds and '
                   'start anew')

    g = p.add_argument_group('networks')
    g.add_argument('--image-size', type=int, choices=models.IMAGE_SIZES, default=256,
                   help='width and height of the pictures')
    g.add_argument('--width', type=count, default=32, help='maps in the widest layers of picture '
                   'size; the others have 2, 4, 8 … times as many')
    g.add_argument('--latent-size', type=count, default=100, help='numbers a picture is made from')

    g = p.add_argument_group('training')
    g.add_argument('--objective', choices=list(SETTINGS), default='wgan-gp', help='what is trained '
                   'for: see objectives.py')
    g.add_argument('--iterations', type=count, default=50000, help='updates of the generator')
    g.add_argument('--batch-size', type=count, default=16, help='pictures for one update')
    g.add_argument('--n-critic', type=count, help='critic updates for one of the generator'
                   + defaults_of('n_critic'))
    g.add_argument('--learning-rate', type=rate, help='step size of Adam or (wgan) RMSProp, per '
                   'update' + defaults_of('learning_rate'))
    g.add_argument('--beta1', type=decay, help="Adam's β1, per update" + defaults_of('beta1'))
    g.add_argument('--beta2', type=decay, help="Adam's β2, per update" + defaults_of('beta2'))
    g.add_argument('--penalty-weight', type=number(float, 0), help='weight λ of the gradient '
                   'penalty' + defaults_of('penalty_weight'))
    g.add_argument('--clip', type=rate, help="bound of the critic's weights"
                   + defaults_of('clip'))
    g.add_argument('--minimax', action='store_true', default=None, help="train the generator to "
                   "make the critic's loss large, not to make its pictures look real"
                   + defaults_of('minimax'))
    g.add_argument('--ema', type=decay, default=0.999, help="decay of the moving average of the "
                   "generator's weights, per update; 0: none")
    g.add_argument('--seed', type=seed, default=0, help='decides every random number of the run')
    g.add_argument('--device', choices=('auto', 'cpu', 'gpu'), default='auto',
                   help='auto takes a GPU if CNTK finds one')

    g = p.add_argument_group('variation of the pictures')
    g.add_argument('--brightness', type=part, default=0.2, help='random shift by up to this part '
                   'of the mean; 0: off')
    g.add_argument('--contrast', type=part, default=0.2, help='random factor 1 ± this; 0: off')
    g.add_argument('--saturation', type=part, default=0.2, help='random factor 1 ± this; 0: off')
    g.add_argument('--no-mirror', dest='mirror', action='store_false',
                   help='do not flip half of the pictures left to right')

    g = p.add_argument_group('watching it')
    g.add_argument('--sample-every', type=count, default=500, help='iterations between two grids '
                   'of generated pictures')
    g.add_argument('--checkpoint-every', type=count, default=1000, help='iterations between two '
                   'checkpoints; the networks and the loss plot are saved with them')
    g.add_argument('--tensorboard', action='store_true', help='also write losses and grids for '
                   'TensorBoard, to the folder tensorboard of the run')
    g.add_argument('--score-every', type=count, help='iterations between two scores (Inception '
                   'Score, FID, KID) of the generator; the best is kept. Needs --inception')
    g.add_argument('--score-count', type=number(int, 10), default=5000, help='pictures to generate '
                   'for a score, and training pictures at most to compare them with')
    add_network_options(p, required=False)
    return p


def defaults_of(name):
    """The part of a help text that says what an option is by default."""
    def shown(value):
        return ("CNTK's own, 0.9999986 per sample, to the power of the batch size"
                if value is None else 'off' if value is False else '%g' % value)

    return ' (default for ' + '; '.join(
        '%s: %s' % (objective, shown(settings[name]))
        for objective, settings in SETTINGS.items() if name in settings) + ')'


def set_defaults(options):
    """Settings of the objective that are not given; raises UserError for some that it hasn't."""
    settings = SETTINGS[options.objective]
    for name in sorted(set().union(*SETTINGS.values())):
        if name not in settings and getattr(options, name) is not None:
            raise UserError('--%s has no meaning for --objective %s, which has %s' % (
                name.replace('_', '-'), options.objective,
                ', '.join('--' + n.replace('_', '-') for n in settings)))
        if name in settings and getattr(options, name) is None:
            setattr(options, name, settings[name])
    if 'beta2' in settings and options.beta2 is None:
        options.beta2 = CNTK_BETA2_PER_SAMPLE ** options.batch_size


def read_options():
    """The settings of this run, checked against what --out holds."""
    options = parser().parse_args()
    out = RunFolder(options.out)
    if options.resume and options.overwrite:
        raise UserError('--resume and --overwrite exclude each other')
    if options.resume:
        saved = out.read_settings()
        p = parser()
        p.set_defaults(**{k: v for k, v in saved.items() if k not in ('out', 'resume')})
        options = p.parse_args()
        given = vars(options)
        free = FREE_TO_CHANGE + (() if saved.get('score_every') else SCORING)
        differences = ['%s was %s and is now %s' % (name, saved[name], given[name])
                       for name in sorted(saved)
                       if name not in free and saved[name] != given.get(name)]
        if differences:
            raise UserError('--resume: the run in %s has other settings: %s'
                            % (options.out, '; '.join(differences)))
        _, step = out.latest_checkpoint()
        if step >= options.iterations:
            raise UserError('--resume: the run in %s has its %d iterations already; ask for more '
                            'with --iterations' % (options.out, step))
    elif out.holds_a_run() and not options.overwrite:
        raise UserError('%s holds a run already; go on with it with --resume, delete it with '
                        '--overwrite, or choose another --out' % options.out)
    if bool(options.score_every) != bool(options.inception):
        raise UserError('--score-every and --inception need each other')
    set_defaults(options)
    return options


if __name__ == '__main__':
    run(lambda: train(read_options()))
