"""Train a Wasserstein GAN (or one of its relatives) on a folder of images.

    python wgan_training.py --data photographs --out runs/faces --image-size 64

What is trained for is one of wgan/objectives.py; an update is in wgan/updates.py. Everything that a
run writes goes into its folder: settings, losses, image grids, checkpoints, the two networks.
"""

import os

from wgan import checkpoint, processes
from wgan.cntk import C
from wgan.command_line import UserError, note, one_line, run
from wgan.device import select_device
from wgan.image_network import open_network
from wgan.images import Batches, ImageSet, grid, split, to_images, write_image
from wgan.labels import Labels, has_labels, labels_of
from wgan.objectives import OBJECTIVES
from wgan.options import objective_settings, read_options
from wgan.recorder import GRID, Recorder, Samples
from wgan.resuming import about_run, note_other_kernels, restore
from wgan.run_folder import RunFolder
from wgan.run_place import check_images_apart
from wgan.run_results import animate, complete, continue_tables
from wgan.starting import begin_with
from wgan.training_scores import TrainingScores, training_images
from wgan.updates import Updates, critic_updates, memory_needed

import numpy as np

import models

SHOWN = 20                      # labels at most that are listed


def train(options, config, changes):
    """Run the training that the options describe, from the start or from the last checkpoint.

    config, changes: as read_options gives them.
    Returns the exit code, if it is not 0. Raises UserError for what the user can put right; what
    was saved before is complete then.
    """
    is_main = processes.RANK == 0               # of several processes, the one that writes
    if options.deterministic:
        C.cntk_py.force_deterministic_algorithms()          # of what is built from here on
    device = select_device(options.device, memory_needed(
        options.image_size, options.width, options.batch_size // processes.COUNT))
    out = RunFolder(options.out)
    if is_main:
        out.lock(make=False)
    path, first = out.latest_checkpoint() if options.resume else (None, 0)
    rng = np.random.RandomState(
        options.seed if processes.COUNT == 1 else [options.seed, processes.RANK])
    if options.resume and first >= options.iterations:
        return complete(out, make_updates(options, rng, labels_of(config)), config, path, first)
    batches, held_out = make_batches(options, rng)
    labels = count_labels(batches.images, config)
    scores = (make_scores(options, device, out, labels) if options.score_every and is_main
              else None)
    updates = make_updates(options, rng, labels)
    digest = processes.digest_of_all(batches.images.digest)
    if options.resume:
        changes += restore(path, updates, batches, held_out, rng, digest, config, options)
        note_other_kernels(config, device)
        started_from = config.get('started_from')
    else:
        started_from = (None if options.start_from is None
                        else begin_with(options.start_from, updates))
    about = about_run(
        options, device, batches, held_out, config, changes, first, images_sha256=digest,
        labels=dict(labels._asdict()) if labels.names else None, started_from=started_from)
    prepare_folder(out, updates, batches, options, about, scores, first)

    recorder = Recorder(
        out, updates, lambda: checkpoint.state_of(updates, batches, held_out, rng), about,
        options.iterations, {'score': options.score_every, 'sample': options.sample_every,
                             'checkpoint': options.checkpoint_every},
        Samples(options.latent_size, options.seed, labels), scores, options.tensorboard, first)
    with recorder:
        for step in range(first + 1, options.iterations + 1):
            for _ in range(critic_updates(step, options.n_critic, options.n_critic_boost)):
                # algorithm 1, lines 2 to 9
                updates.update_critic(*batches.next())
            if held_out:
                updates.judge_held_out(*held_out.next())
            updates.update_generator(step)                      # lines 10 and 11
            if recorder.record(step, updates.row()):
                break
    processes.end()
    if recorder.stopped:
        recorder.progress.end('stopped after iteration %d and saved; continue with: --out %s '
                              '--resume' % (step, out.shown))
        return 128 + recorder.stopped                           # what shells expect
    recorder.progress.end('%d iterations in %s' % (step, out.shown))
    if is_main:
        animate(out)


def make_batches(options, rng):
    """(minibatches to train on, those of the images that --hold-out keeps apart or None), of this
    process. Raises UserError if there are too few images.
    """
    def images(part, noun, report=True):
        def select(paths):
            chosen = split(paths, options.hold_out, options.seed)[part]
            chosen = chosen[processes.RANK::processes.COUNT]
            if not chosen:
                raise UserError('--hold-out %g of %d images leaves no %s%s' % (
                    options.hold_out, len(paths), noun,
                    ' for one of %d processes' % processes.COUNT if processes.COUNT > 1 else ''))
            return chosen
        found = ImageSet(options.data, options.image_size, labels=options.labels, select=select,
                         noun=noun, report=report)
        check_images_apart(options.out, found.paths, options.data)
        return found

    def batches(images, count):
        return Batches(images, count, rng, options.brightness, options.contrast,
                       options.saturation, options.mirror, options.channels)

    share = options.batch_size // processes.COUNT
    training = images(0, 'images to train on' if options.hold_out else 'images')
    if processes.COUNT > 1:                     # for one, Batches does it
        check_share(training, share, options.batch_size)
    if options.channels is None:                # config.json will have what the images decide
        grey = processes.mean([float(training.is_grey())])[0] == 1
        options.channels = 1 if grey else 3
    if not options.hold_out:
        return batches(training, share), None
    held_out = images(1, 'images to hold out', report=False)
    return batches(training, share), batches(held_out, min(share, len(held_out)))


def check_share(images, share, batch_size):
    """Raise UserError if a process has fewer images than its part of a minibatch."""
    total = round(processes.mean([len(images)])[0] * processes.COUNT)
    if share > len(images):
        raise UserError(
            '--batch-size %d is shared by %d processes, %d images each; but of the %d readable '
            'images in %s, which are shared too, one has only %d' % (
                batch_size, processes.COUNT, share, total, one_line(images.source), len(images)))


def count_labels(images, config):
    """The Labels of the images that all processes train on.

    config: what config.json says of a run that is resumed, or None. Raises UserError if there is
    no image left of one, or the run had others.
    """
    names = images.label_names
    if config and names != labels_of(config).names:
        raise UserError('--resume: %s has the labels %s, and the run has %s' % (
            one_line(images.source), *(', '.join(map(one_line, some[:SHOWN])) or 'none'
                                       for some in (names, labels_of(config).names))))
    if not names:
        if has_labels(images.source) and processes.RANK == 0:
            note('the labels of %s are not used; --labels map trains with them'
                 % one_line(images.source))
        return Labels([], [])
    counts = processes.mean([float(count) for count in images.label_counts()])
    counts = [int(round(count * processes.COUNT)) for count in counts]
    for name, count in zip(names, counts):
        if not count:
            raise UserError('of the label %s there is no image to train on: all are unreadable, or '
                            'held out' % one_line(name))
    if processes.RANK == 0:
        note('labels: ' + ', '.join('%s %d' % (one_line(name), count)
                                    for name, count in zip(names[:SHOWN], counts))
             + (', and %d more' % (len(names) - SHOWN) if len(names) > SHOWN else ''))
    return Labels(names, counts)


def make_updates(options, rng, labels):
    """The two networks, and what trains them."""
    # All processes begin with the same weights.
    seeds = rng if processes.COUNT == 1 else np.random.RandomState(options.seed)
    generator, critic = models.networks(
        options.image_size, options.latent_size, options.width,
        OBJECTIVES[options.objective].normalization, seeds, len(labels.names), options.channels)
    return Updates(generator, critic, options.objective, objective_settings(options),
                   options.batch_size, rng, options.ema, options.augment, options.hold_out > 0,
                   labels.counts)


def make_scores(options, device, out, labels):
    images = training_images(options.data, options.image_size, options.score_count,
                             lambda paths: split(paths, options.hold_out, options.seed)[0])
    return TrainingScores(images, open_network(options, device), options.score_count,
                          options.seed, options.batch_size, out.path('scores.csv'), labels)


def prepare_folder(out, updates, batches, options, about, scores, step):
    """Begin the files of a run, or bring them back to where it continues."""
    columns = ['step', *updates.columns, 'seconds']
    if processes.RANK == 0 and options.resume:
        out.open()
        continue_tables(out, columns, step)
    elif processes.RANK == 0:
        out.create(columns, options.overwrite)
        write_image(out.own.claim('samples/real.png'),
                    grid(to_images(batches.next()[0]), columns=GRID))
    if processes.RANK == 0:
        out.write_config(dict(about, scores=scores.described() if scores else None))
    processes.wait_for_all()


def main():
    options, config, changes = read_options()
    try:
        return train(options, config, changes)
    except OSError as error:            # a full disk, a quota, a folder that can't be written
        found = checkpoint.latest(os.path.join(options.out, 'checkpoints'))
        raise UserError('%s: %s; %s' % (
            one_line(str(error.filename or options.out)), error.strerror or error,
            '%s is complete: put it right and continue with --resume' % one_line(found[0])
            if found else 'nothing was saved yet: put it right and start again with --overwrite'))


if __name__ == '__main__':
    run(main)
