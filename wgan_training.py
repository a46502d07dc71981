"""Train a Wasserstein GAN (or one of its relatives) on a folder of images, or on lines of text.

    python wgan_training.py --data photographs --out runs/faces --image-size 64
    python wgan_training.py --text --data names.txt --out runs/names

What is trained for is one of wgan/training/objectives.py; an update is in wgan/training/updates.py.
What images and text have of their own is in wgan/training/image_run.py and text_run.py. Everything
that a run writes goes into its folder: settings, losses, samples, checkpoints, the two networks.
"""

import os

from wgan.machine import processes
from wgan.runs import checkpoint
from wgan.machine.cntk import C
from wgan.machine.command_line import UserError, one_line, run
from wgan.machine.device import select_device
from wgan.training.image_run import ImageRun
from wgan.training.options import objective_settings, read_options
from wgan.runs.recorder import Recorder
from wgan.runs.resuming import about_run, data_since, note_other_kernels, restore
from wgan.runs.folder import RunFolder
from wgan.runs.results import animate, complete, continue_tables, owes_score
from wgan.training.starting import begin_with
from wgan.training.text_run import TextRun
from wgan.training.updates import Updates, critic_updates

import numpy as np

import models
import text_models


def train(options, config, changes):
    """Run the training that the options describe, from the start or from the last checkpoint.

    config, changes: as read_options gives them.
    Returns the exit code, if it is not 0. Raises UserError for what the user can put right; what
    was saved before is complete then.
    """
    is_main = processes.RANK == 0               # of several processes, the one that writes
    if options.deterministic:
        C.cntk_py.force_deterministic_algorithms()          # of what is built from here on
    kind = kind_of_run(options, config)
    device = select_device(options.device, kind.memory_needed(), options.tf32)
    out = RunFolder(options.out)
    if is_main:
        out.lock(make=False)
    path, first = out.latest_checkpoint() if options.resume else (None, 0)
    rng = np.random.RandomState(
        options.seed if processes.COUNT == 1 else [options.seed, processes.RANK])
    score_is_owed = options.resume and owes_score(out, config, first)
    if options.resume and first >= options.iterations and not score_is_owed:
        return complete(out, make_updates(options, rng, kind), kind.score_columns, config, path,
                        first)
    batches, held_out = kind.make_batches(rng)
    scores = (kind.make_scores(device, out.path('scores.csv')) if options.score_every and is_main
              else None)
    updates = make_updates(options, rng, kind)
    digest = processes.digest_of_all(batches.items.digest)
    if options.resume:
        changes += restore(path, updates, batches, held_out, rng, digest, config, options)
        note_other_kernels(config, device)
        started_from = config.get('started_from')
    else:
        started_from = (None if options.start_from is None
                        else begin_with(options.start_from, updates, kind.label_names))
    about = about_run(options, device, batches, held_out, config, changes, first,
                      data_sha256=digest, started_from=started_from, **kind.known())
    if scores:
        scores.data_since = data_since(about)
    prepare_folder(out, updates, batches, options, about, scores, kind, first)

    recorder = Recorder(
        out, updates, lambda: checkpoint.state_of(updates, batches, held_out, rng), about,
        options.iterations, {'score': options.score_every, 'sample': options.sample_every,
                             'checkpoint': options.checkpoint_every},
        kind.samples(), scores, options.tensorboard, first)
    with recorder:
        step = first
        if score_is_owed:
            recorder.score(step)
        while step < options.iterations and not recorder.stopped:
            step += 1
            for _ in range(critic_updates(step, options.n_critic, options.n_critic_boost)):
                updates.update_critic(*batches.next())          # algorithm 1, lines 2 to 9
            if held_out:
                updates.judge_held_out(*held_out.next())
            updates.update_generator(step)                      # lines 10 and 11
            recorder.record(step, updates.row())
    if first >= options.iterations and not recorder.stopped:
        return complete(out, updates, kind.score_columns, config, path, first)
    processes.end()
    if recorder.stopped:
        recorder.progress.end('stopped after iteration %d and saved; continue with: --out %s '
                              '--resume' % (step, out.shown))
        return 128 + recorder.stopped                           # what shells expect
    recorder.progress.end('%d iterations in %s' % (step, out.shown))
    if is_main:
        animate(out)


def kind_of_run(options, config):
    """The ImageRun or TextRun that the options describe. config: as read_options gives it."""
    return (TextRun(options, config, text_models.networks) if options.text
            else ImageRun(options, config, models.networks))


def make_updates(options, rng, kind):
    """The two networks, and what trains them."""
    # All processes begin with the same weights.
    seeds = rng if processes.COUNT == 1 else np.random.RandomState(options.seed)
    generator, critic = kind.networks(seeds)
    return Updates(generator, critic, options.objective, objective_settings(options),
                   options.batch_size, rng, options.ema, options.augment, options.hold_out > 0,
                   kind.label_counts)


def prepare_folder(out, updates, batches, options, about, scores, kind, step):
    """Begin the files of a run, or bring them back to where it continues."""
    columns = ['step', *updates.columns, 'seconds']
    if processes.RANK == 0 and options.resume:
        out.open()
        continue_tables(out, columns, kind.score_columns, step, data_since(about))
    elif processes.RANK == 0:
        out.create(columns, options.overwrite)
        kind.write_real(out.own, batches)
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
