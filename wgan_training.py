"""Train a Wasserstein GAN (or one of its relatives) on a folder of pictures.

    python wgan_training.py --data photographs --out runs/faces --image-size 64

What is trained for is one of wgan/objectives.py, what an iteration does is in wgan/updates.py.
Everything a run makes goes into its folder: settings, losses, picture grids, checkpoints, the two
networks.
"""

import os
import signal
import sys
import time

from wgan.command_line import Progress, UserError, run
from wgan.cntk import select_device

import numpy as np

from wgan import checkpoint
from wgan.evaluation import generate
from wgan import processes
from wgan.disk import replacing
from wgan.images import Batches, Faces, grid, to_pictures, write_picture
from wgan.image_files import one_line
from wgan.resuming import paths_of, settings_of
from wgan.run_folder import VERSIONS, RunFolder
from wgan.run_place import check_pictures_apart
from wgan.run_results import BEST, animate, complete, continue_tables, networks_of, plot_table
from wgan.options import read_options
from wgan.training_scores import TrainingScores
from wgan.updates import Updates

GRID = 8                                        # sample grids are GRID × GRID


def train(options, config, changes):
    """Run the training that the options describe, from the start or from the last checkpoint.

    config, changes: as read_options gives them.
    Returns the exit code, if it is not 0. Raises UserError for what the user can put right; what
    was saved before is whole then.
    """
    first = processes.RANK == 0                 # of several processes, the one that writes
    device = select_device(options.device)
    out = RunFolder(options.out)
    if first:
        out.lock(make=False)
    path, step = out.latest_checkpoint() if options.resume else (None, 0)
    if options.resume and step >= options.iterations:
        return complete(options, out, config, path, step)
    rng = np.random.RandomState(
        options.seed if processes.COUNT == 1 else [options.seed, processes.RANK])
    faces = Faces(options.data, options.image_size, part=(processes.RANK, processes.COUNT))
    check_pictures_apart(options.out, faces.paths, options.data)
    check_share(options, faces)
    digest = processes.digest_of_all(faces.digest)
    batches = Batches(faces, options.batch_size // processes.COUNT, rng, options.brightness,
                      options.contrast, options.saturation, options.mirror)
    scores = (TrainingScores(options, device, out.path('scores.csv'))
              if options.score_every and first else None)

    updates = Updates(options, rng)

    if options.resume:
        changes = changes + restore(path, updates, batches, rng, digest, config)
    about = {
        'settings': settings_of(options),
        'paths': paths_of(options),
        'device': device,
        'pictures': len(faces),
        'unreadable_pictures': len(faces.unreadable),
        'pictures_sha256': digest,
        'changes': past_changes(config) + [dict(c, step=step) for c in changes],
        'versions': VERSIONS,
    }
    columns = ['step', *updates.columns, 'seconds']
    if first and options.resume:
        out.open()
        continue_tables(out, columns, step)
    elif first:
        out.create(columns, options.overwrite)
        save_sheet(out, 'samples/real.png', grid(to_pictures(batches.next()), columns=GRID))
    if first:
        out.write_config(dict(about, scores=scores.described() if scores else None))
    processes.wait_for_all()
    watched = np.random.RandomState(options.seed).standard_normal(
        (GRID * GRID, options.latent_size)).astype(np.float32)

    def save_samples():
        pictures = to_pictures(generate(updates.shown, watched, options.batch_size))
        sheet = grid(pictures, columns=GRID)
        save_sheet(out, 'samples/step_%06d.png' % step, sheet)
        if board:
            board.add_image('samples', sheet, step, dataformats='HWC')

    def save_all():
        if first:
            losses.flush()
            os.fsync(losses.fileno())
            out.own.add('checkpoints/' + checkpoint.name_of(step))
        checkpoint.save(out.path('checkpoints'), step, updates.trainers,
                        state_of(updates, batches, rng), about, out.own_steps() if first else (),
                        best=scores.best_step if scores else None)
        if first:
            for name, network in networks_of(updates).items():
                out.save_network(network, name)
            plot_table(out, 'wgan')

    def check(numbers, what):
        """Stop before anything that is no number is saved."""
        if np.all(np.isfinite(numbers)):
            return
        found = checkpoint.latest(out.path('checkpoints'))
        raise UserError(
            'iteration %d: %s; nothing of it was saved. %s. Begin anew with a smaller '
            '--learning-rate, or look into the pictures' % (
                step, what, 'The last good checkpoint is %s' % one_line(found[0]) if found else
                'There was no checkpoint yet'))

    def check_weights():
        for name, network in (('generator', updates.generator), ('critic', updates.critic)):
            for p in list(network.parameters) + list(network.constants):
                check(p.value, 'a weight of the %s (%s, %s) is no longer a number'
                      % (name, p.name, ' × '.join(map(str, p.shape)) or 'one number'))
        for name, values in updates.arrays().items():
            check(values, 'what belongs to the weights (%s) is no longer a number' % name)

    progress = Progress('training', options.iterations, done=step)
    board = tensorboard(out, step) if options.tensorboard and first else None
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
            to_score = options.score_every and (step % options.score_every == 0 or done)
            to_show, to_save = (step % every == 0 or stopped or done for every in (
                options.sample_every, options.checkpoint_every))
            if to_score or to_show or to_save:
                check_weights()
            if to_score:
                if first:
                    out.own.claim('scores.csv')
                better = processes.mean([scores.add(step, updates.shown) if first else 0])[0] > 0
                if first:
                    plot_table(out, 'scores')
                if first and better:
                    out.save_network(updates.shown, BEST)
            if first and to_show:
                save_samples()
            if to_save or better:
                save_all()

    if board:
        board.close()
    processes.end()
    if stopped:
        progress.end('stopped after iteration %d and saved; go on with: --out %s --resume'
                     % (step, out.shown))
        return 128 + (stop.requested or signal.SIGTERM)         # what shells expect
    progress.end('%d iterations in %s' % (step, out.shown))
    if first:
        animate(out)


def save_sheet(out, name, sheet):
    with replacing(out.own.claim(name)) as aside:
        write_picture(aside, sheet)


def check_share(options, faces):
    """Raise UserError if a process has fewer pictures than its part of a minibatch."""
    if processes.COUNT == 1:                    # Batches looks to that
        return
    total = round(processes.mean([len(faces)])[0] * processes.COUNT)
    if options.batch_size // processes.COUNT > len(faces):
        raise UserError(
            '--batch-size %d is shared by %d processes, %d pictures each; but of the %d readable '
            'pictures in %s, which are shared too, one has only %d' % (
                options.batch_size, processes.COUNT, options.batch_size // processes.COUNT, total,
                one_line(faces.source), len(faces)))


def state_of(updates, batches, rng):
    return dict(checkpoint.random_state(rng), order=batches.order, position=batches.position,
                **updates.arrays())


def restore(path, updates, batches, rng, digest, config):
    """Bring all to the state of a checkpoint.

    Returns the change of the pictures that --allow-change let through, as a list of one or none.
    Raises UserError if they are others than before and it did not.
    """
    state, manifest = checkpoint.restore(path, updates.trainers), checkpoint.read_manifest(path)
    checkpoint.set_random_state(rng, state)
    for part in updates.kept:
        part.restore(state)
    updates.set_learning_rate()
    then = manifest.get('pictures_sha256')
    lengths = len(state['order']), len(batches.faces)
    if then == digest or (then is None and lengths[0] == lengths[1]):
        batches.order, batches.position = state['order'], int(state['position'])
    else:
        batches.begin_epoch()
    before = config.get('pictures_sha256', then)        # others, if they were changed before
    if before == digest or (before is None and lengths[0] == lengths[1]):
        return []
    if 'data' not in updates.options.allow_change:
        raise UserError('--resume: %s; --allow-change data goes on with them' % (
            '%s had %d readable pictures and now has %d' % (
                (one_line(batches.faces.source),) + lengths) if lengths[0] != lengths[1] else
            'the pictures in %s are not those that the run was trained on'
            % one_line(batches.faces.source)))
    return [{'setting': 'data', 'from': config['settings']['data'],
             'to': settings_of(updates.options)['data'], 'pictures': len(batches.faces)}]


def past_changes(config):
    changes = (config or {}).get('changes')
    return changes if isinstance(changes, list) else []


def tensorboard(out, step):
    """A writer of losses and grids for TensorBoard, going on after `step`.

    CNTK brings one (C.logging.TensorBoardProgressWriter), but on a current Linux only its numbers
    work: for pictures it wants libjpeg 8. tensorboardX writes both.
    """
    from tensorboardX import SummaryWriter          # takes a second, which other runs save
    folder = out.path('tensorboard')
    before = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    writer = SummaryWriter(folder, purge_step=step + 1 if step else None)
    for name in set(os.listdir(folder)) - before:       # it decides the name
        out.own.add('tensorboard/' + name)
    return writer


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
    options, config, changes = read_options()
    try:
        return train(options, config, changes)
    except OSError as error:            # a full disk, a quota, a folder that can't be written
        found = checkpoint.latest(os.path.join(options.out, 'checkpoints'))
        raise UserError('%s: %s; %s' % (
            one_line(str(error.filename or options.out)), error.strerror or error,
            '%s is whole: put it right and go on with --resume' % one_line(found[0]) if found else
            'nothing was saved yet: put it right and begin anew with --overwrite'))


if __name__ == '__main__':
    run(main)
