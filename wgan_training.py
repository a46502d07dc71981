"""Train a Wasserstein GAN (or one of its relatives) on a folder of pictures.

    python wgan_training.py --data photographs --out runs/faces --image-size 64

The loop is algorithm 1 of Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028; what is
trained for is one of objectives.py. Everything a run makes goes into its folder: settings, losses,
picture grids, checkpoints, the two networks.
"""

import os
import signal
import sys
import time

from command_line import Progress, UserError, run
from quiet_cntk import C, quiet, select_device

import numpy as np

import checkpoint
import models
import processes
from animation import animate_samples, find_grids
from faces import Batches, Faces, grid, to_pictures, write_picture
from learners import RmsProp, adam
from moving_average import MovingAverage
from objectives import OBJECTIVES
from plot_losses import plot
from run_folder import VERSIONS, RunFolder
from training_options import SETTINGS, read_options
from training_scores import TrainingScores

GRID = 8                                        # sample grids are GRID × GRID
# How the critic is normalised: the articles' way, but by sample where its gradient is penalised.
NORMALIZATION = {'wgan-gp': 'layer', 'wgan': 'batch', 'gan': 'batch', 'dragan': 'layer'}


def train(options):
    """Run the training that the options describe, from the start or from the last checkpoint.

    Returns the exit code, if it is not 0. Raises UserError for what the user can put right; what
    was saved before is whole then.
    """
    first = processes.RANK == 0                 # of several processes, the one that writes
    device = select_device(options.device)
    out = RunFolder(options.out)
    if first:
        out.lock()
    rng = np.random.RandomState(
        options.seed if processes.COUNT == 1 else [options.seed, processes.RANK])
    faces = Faces(options.data, options.image_size, part=(processes.RANK, processes.COUNT))
    scores = (TrainingScores(options, device, out.path('scores.csv'))
              if options.score_every and first else None)
    batches = Batches(faces, options.batch_size // processes.COUNT, rng, options.brightness,
                      options.contrast, options.saturation, options.mirror)

    # The networks, the losses, and one trainer each. All processes begin with the same weights.
    seeds = rng if processes.COUNT == 1 else np.random.RandomState(options.seed)
    generator = models.generator(options.image_size, options.latent_size, options.width,
                                 seed=seeds.randint(2 ** 31))
    critic = models.critic(options.image_size, options.width, seed=seeds.randint(2 ** 31),
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

    step = 0
    if options.resume:
        path, step = out.latest_checkpoint(say=lambda s: print('warning: ' + s, file=sys.stderr))
        restore(path, trainers, batches, rng, kept)
        if first:
            out.drop_rows_after(step)
    elif first:
        out.create(columns)
        write_picture(out.path('samples', 'real.png'),
                      grid(to_pictures(batches.next()), columns=GRID))
    if first:
        out.write_settings(options, device, faces, scores)
    processes.wait_for_all()
    shown = average.generator if average else generator
    watched = np.random.RandomState(options.seed).standard_normal(
        (GRID * GRID, options.latent_size)).astype(np.float32)

    def draw_latents():
        return rng.standard_normal((batches.batch_size, options.latent_size)).astype(np.float32)

    def save_samples():
        pictures = to_pictures(models.generate(shown, watched, options.batch_size))
        sheet = grid(pictures, columns=GRID)
        write_picture(out.path('samples', 'step_%06d.png' % step), sheet)
        if board:
            board.add_image('samples', sheet, step, dataformats='HWC')

    def save_all():
        check_weights(generator=generator, critic=critic)
        if first:
            losses.flush()
            os.fsync(losses.fileno())
        checkpoint.save(out.path('checkpoints'), step, trainers, state_of(batches, rng, kept),
                        about={'settings': vars(options), 'versions': VERSIONS},
                        best=scores.best_step if scores else None)
        if first:
            out.save_network(generator, 'wgan_generator.model')
            if average:
                out.save_network(average.generator, 'wgan_generator_average.model')
            out.save_network(critic, 'wgan_critic.model')
            plot([out.path('wgan.csv')], out.path('losses.png'))

    def check(numbers, what):
        """Stop before anything that is no number is saved."""
        if np.all(np.isfinite(numbers)):
            return
        found = checkpoint.latest(out.path('checkpoints'))
        raise UserError(
            'iteration %d: %s; nothing of it was saved. %s. Begin anew with a smaller '
            '--learning-rate, or look into the pictures' % (
                step, what, 'The last good checkpoint is %s' % found[0] if found else
                'There was no checkpoint yet'))

    def check_weights(**networks):
        for name, network in networks.items():
            for p in list(network.parameters) + list(network.constants):
                check(p.value, 'a weight of the %s (%s, %s) is no longer a number'
                      % (name, p.name, ' × '.join(map(str, p.shape)) or 'one number'))

    progress = Progress('training', options.iterations, done=step)
    board = (tensorboard(out.path('tensorboard'), step) if options.tensorboard and first
             else None)
    stopped = False
    with StopSignal() as stop, open(out.path('wgan.csv') if first else os.devnull, 'a') as losses:
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
            # Each process has its own; and all stop if one is to.
            asked_to_stop, *row = processes.mean([float(stop.requested)] + row)
            said = ' '.join('%s %.4g' % pair for pair in zip(columns[1:], row))
            check(row, 'a loss is no longer a number (%s)' % said)
            losses.write(','.join(['%d' % step] + ['%.9g' % value for value in row]
                                  + ['%.3f\n' % (time.time() - start)]))
            losses.flush()
            for name, value in zip(columns[1:], row) if board else ():
                board.add_scalar(name, value, step)
            progress.show(step, said)

            done = step == options.iterations
            stopped = asked_to_stop > 0 and not done
            better = False
            if options.score_every and (step % options.score_every == 0 or done):
                better = processes.mean([scores.add(step, shown) if first else 0])[0] > 0
                if first:
                    plot([out.path('scores.csv')], out.path('scores.png'))
                if first and better:
                    out.save_network(shown, 'wgan_generator_best.model')
            if first and (step % options.sample_every == 0 or stopped or done):
                save_samples()
            if step % options.checkpoint_every == 0 or stopped or done or better:
                save_all()

    if board:
        board.close()
    processes.end()
    if stopped:
        progress.end('stopped after iteration %d and saved; go on with: --out %s --resume'
                     % (step, options.out))
        return 128 + (stop.requested or signal.SIGTERM)         # what shells expect
    progress.end('%d iterations in %s' % (step, options.out))
    if first and len(find_grids(options.out)) > 1:
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
        return C.Trainer(C.combine([loss] + logged), (loss, None), [processes.shared(learner)])


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
    """While entered, Ctrl-C and SIGTERM only set `requested` to their number; a second Ctrl-C
    stops at once.
    """

    def __enter__(self):
        self.requested = 0
        self.previous = {number: signal.signal(number, self._request)
                         for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _request(self, number, _):
        self.requested = number
        signal.signal(signal.SIGINT, self.previous[signal.SIGINT])
        if processes.RANK == 0:
            print('\nstopping after this iteration …', file=sys.stderr)


def main():
    options = read_options()
    try:
        return train(options)
    except OSError as error:            # a full disk, a quota, a folder that can't be written
        found = checkpoint.latest(os.path.join(options.out, 'checkpoints'))
        raise UserError('%s: %s; %s' % (
            error.filename or options.out, error.strerror or error,
            '%s is whole: put it right and go on with --resume' % found[0] if found else
            'nothing was saved yet: put it right and begin anew with --overwrite'))


if __name__ == '__main__':
    run(main)
