"""Train a Wasserstein GAN (or one of its relatives) on a folder of pictures.

    python wgan_training.py --data photographs --out runs/faces --image-size 64

What is trained for is one of objectives.py, what an iteration does is in updates.py. Everything a
run makes goes into its folder: settings, losses, picture grids, checkpoints, the two networks.
"""

import os
import signal
import sys
import time

from command_line import Progress, UserError, run
from quiet_cntk import select_device

import numpy as np

import checkpoint
import models
import processes
from animation import animate_samples, find_grids
from faces import Batches, Faces, grid, to_pictures, write_picture
from plot_losses import plot
from run_folder import VERSIONS, RunFolder
from training_options import read_options
from training_scores import TrainingScores
from updates import Updates

GRID = 8                                        # sample grids are GRID × GRID


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

    updates = Updates(options, rng)

    step = 0
    if options.resume:
        path, step = out.latest_checkpoint(say=lambda s: print('warning: ' + s, file=sys.stderr))
        restore(path, updates, batches, rng)
        if first:
            out.drop_rows_after(step)
    elif first:
        out.create(['step', *updates.columns, 'seconds'])
        write_picture(out.path('samples', 'real.png'),
                      grid(to_pictures(batches.next()), columns=GRID))
    if first:
        out.write_settings(options, device, faces, scores)
    processes.wait_for_all()
    watched = np.random.RandomState(options.seed).standard_normal(
        (GRID * GRID, options.latent_size)).astype(np.float32)

    def save_samples():
        pictures = to_pictures(models.generate(updates.shown, watched, options.batch_size))
        sheet = grid(pictures, columns=GRID)
        write_picture(out.path('samples', 'step_%06d.png' % step), sheet)
        if board:
            board.add_image('samples', sheet, step, dataformats='HWC')

    def save_all():
        check_weights(generator=updates.generator, critic=updates.critic)
        if first:
            losses.flush()
            os.fsync(losses.fileno())
        checkpoint.save(out.path('checkpoints'), step, updates.trainers,
                        state_of(updates, batches, rng),
                        about={'settings': vars(options), 'versions': VERSIONS},
                        best=scores.best_step if scores else None)
        if first:
            out.save_network(updates.generator, 'wgan_generator.model')
            if updates.average:
                out.save_network(updates.shown, 'wgan_generator_average.model')
            out.save_network(updates.critic, 'wgan_critic.model')
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

            for _ in range(options.n_critic):
                updates.update_critic(batches.next())
            step += 1
            updates.update_generator(step)
            row = updates.row()
            # Each process has its own; and all stop if one is to.
            asked_to_stop, *row = processes.mean([float(stop.requested)] + row)
            said = ' '.join('%s %.4g' % pair for pair in zip(updates.columns, row))
            check(row, 'a loss is no longer a number (%s)' % said)
            losses.write(','.join(['%d' % step] + ['%.9g' % value for value in row]
                                  + ['%.3f\n' % (time.time() - start)]))
            losses.flush()
            for name, value in zip(updates.columns, row) if board else ():
                board.add_scalar(name, value, step)
            progress.show(step, said)

            done = step == options.iterations
            stopped = asked_to_stop > 0 and not done
            better = False
            if options.score_every and (step % options.score_every == 0 or done):
                better = processes.mean([scores.add(step, updates.shown) if first else 0])[0] > 0
                if first:
                    plot([out.path('scores.csv')], out.path('scores.png'))
                if first and better:
                    out.save_network(updates.shown, 'wgan_generator_best.model')
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


def state_of(updates, batches, rng):
    state = dict(checkpoint.random_state(rng), order=batches.order, position=batches.position)
    for part in updates.kept:
        state.update(part.arrays())
    return state


def restore(path, updates, batches, rng):
    state = checkpoint.restore(path, updates.trainers)
    checkpoint.set_random_state(rng, state)
    for part in updates.kept:
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
