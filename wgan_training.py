"""Train a Wasserstein GAN, or another GAN, on a folder of images or on lines of text.

    python wgan_training.py --data photographs --out runs/faces --image-size 64
    python wgan_training.py --text --data names.txt --out runs/names

wgan/training/objectives.py has the losses, wgan/training/updates.py the update. The parts that
differ for images and text are in wgan/training/image_run.py and text_run.py. A run writes
everything into its folder: settings, losses, samples, checkpoints, the two networks.
"""

import os

import models
import residual_models
import text_models
from wgan.machine import processes
from wgan.machine.cntk import C
from wgan.machine.command_line import UserError, one_line, run
from wgan.machine.device import select_device
from wgan.runs import checkpoint
from wgan.runs.folder import RunFolder
from wgan.runs.recorder import Recorder, Training
from wgan.runs.results import animate, complete, continue_tables, owes_score
from wgan.runs.resuming import (
    about_run, check_data, data_since, note_other_kernels, resumed_options)
from wgan.runs.state import State
from wgan.runs.tables import loss_columns
from wgan.training.image_run import ImageRun
from wgan.training.objectives import OBJECTIVES
from wgan.training.options import objective_settings, parser, with_defaults
from wgan.training.starting import begin_with
from wgan.training.text_run import TextRun
from wgan.training.updates import Updates, critic_updates

import numpy as np

IS_MAIN = processes.RANK == 0           # only this process writes
MODULES = {'dcgan': models, 'resnet': residual_models}          # of --network


def train(training, options):
    """Trains to the last iteration: algorithm 1 of Gulrajani et al. 2017. Returns the exit code."""
    updates, batches, held_out = training.updates, training.batches, training.held_out
    step = training.step
    every = {'score': options.score_every, 'sample': options.sample_every,
             'checkpoint': options.checkpoint_every}
    with Recorder(training, options.iterations, every, options.tensorboard,
                  options.page) as recorder:
        if training.score_is_due:
            recorder.score(step)
        while step < options.iterations and not recorder.stopped:
            step += 1
            for _ in range(critic_updates(step, options.n_critic, options.n_critic_boost)):
                updates.update_critic(*batches.next())          # lines 2 to 9
            if held_out:
                updates.judge_held_out(*held_out.next())
            updates.update_generator(step)                      # lines 10 and 11
            recorder.record(step, updates.row())
    processes.end()
    if recorder.stopped:
        recorder.progress.end('stopped after iteration %d and saved; continue with: --out %s '
                              '--resume' % (step, training.out.name))
        return 128 + recorder.stopped                           # what shells expect
    recorder.progress.end('%d iterations in %s' % (step, training.out.name))
    if IS_MAIN:
        animate(training.out)


def start(options, domain, device, out):
    """Returns the Training of a new run. domain: the ImageRun or TextRun."""
    training = build(options, domain, device, out)
    updates, batches = training.updates, training.batches
    started_from = (begin_with(options.start_from, updates, domain.label_names)
                    if options.start_from is not None else None)
    about = about_run(options, device, training, started_from=started_from,
                      data_sha256=processes.digest_of_all(batches.items.digest), **domain.facts())
    if IS_MAIN:
        out.create(about, loss_columns(updates), options.overwrite)
        domain.write_real(out, batches)
    processes.wait_for_all()
    return training._replace(about=about)


def resume(options, config, changes, domain, device, out):
    """Returns the Training that continues from the last checkpoint; None if the run is complete.

    config, changes: as `resumed_options` returns them.
    """
    path, step = out.latest_checkpoint()
    score_is_due = owes_score(out, config, step)
    if step >= options.iterations and not score_is_due:
        updates = make_updates(options, random_numbers(options), domain)
        if IS_MAIN:
            complete(out, updates, domain.score_columns, config, path, step, options.page)
        return None
    training = build(options, domain, device, out)
    data, held_out = training.batches.items, training.held_out
    digest = processes.digest_of_all(data.digest)
    manifest = checkpoint.read_manifest(path)
    changes = changes + check_data(config, manifest, data, held_out, options, digest)
    training.state.restore(checkpoint.restore(path, training.updates.trainers),
                           manifest.get('data_sha256') == digest)
    note_other_kernels(config, device)
    about = about_run(options, device, training, config, changes, step, data_sha256=digest,
                      started_from=config.get('started_from'), **domain.facts())
    if training.scores:
        training.scores.data_since = data_since(about)
    if IS_MAIN:
        continue_tables(out, loss_columns(training.updates), domain.score_columns, step,
                        data_since(about))
        out.write_config(about)
    processes.wait_for_all()
    return training._replace(about=about, step=step, score_is_due=score_is_due)


def build(options, domain, device, out):
    """Returns the Training before its first iteration, without `about`."""
    rng = random_numbers(options)
    batches, held_out = domain.make_batches(rng)
    scores = (domain.make_scores(device, out.path('scores.csv'))
              if options.score_every and IS_MAIN else None)
    updates = make_updates(options, rng, domain)
    return Training(out, updates, batches, held_out, about=None,
                    state=State(updates, batches, held_out, rng), samples=domain.samples(),
                    scores=scores, step=0, score_is_due=False)


def random_numbers(options):
    return np.random.RandomState(
        options.seed if processes.COUNT == 1 else [options.seed, processes.RANK])


def make_domain(options, config=None):
    """Returns the ImageRun or TextRun. config: the config.json of a resumed run."""
    return (TextRun(options, config, text_models.networks) if options.text
            else ImageRun(options, config, MODULES[options.network].networks))


def make_updates(options, rng, domain):
    """Returns the Updates of two new networks."""
    # All processes must begin with the same weights.
    seeds = rng if processes.COUNT == 1 else np.random.RandomState(options.seed)
    generator, critic = domain.networks(seeds)
    return Updates(generator, critic, OBJECTIVES[options.objective], options.batch_size, rng,
                   ema=options.ema, augment=options.augment,
                   augment_target=options.augment_target,
                   augment_probability=options.augment_probability, hold_out=options.hold_out > 0,
                   label_counts=domain.label_counts, **objective_settings(options))


def read_options(out, arguments):
    """Returns (options, config, changes), checked against the content of --out.

    out: the RunFolder. arguments: the options of the command line, a dict. config, changes: as
    `resumed_options` returns them; None and [] for a new run.
    """
    config, changes = None, []
    if arguments.get('resume') and arguments.get('overwrite'):
        raise UserError('--resume and --overwrite exclude each other')
    if arguments.get('allow_change') and not arguments.get('resume'):
        raise UserError('--allow-change has a meaning only with --resume')
    if arguments.get('resume'):
        options, config, changes = resumed_options(out, arguments)
    else:
        options = with_defaults(arguments)
    out.check_place(options.data)
    if not options.resume and options.start_from is not None and os.path.realpath(
            options.start_from) == os.path.realpath(options.out):
        raise UserError('--start-from and --out are the same folder; --resume continues a run, '
                        'and a new one needs another --out')
    if not options.resume and not options.overwrite and out.holds_a_run():
        raise UserError('%s holds a run already; continue it with --resume, start again with '
                        '--overwrite, which renames it, or choose another --out' % out.name)
    if not options.text and bool(options.score_every) != bool(options.inception):
        raise UserError('--score-every and --inception need each other')
    if options.batch_size % processes.COUNT:
        raise UserError('--batch-size %d is the total, and can not be shared evenly by %d processes'
                        % (options.batch_size, processes.COUNT))
    return options, config, changes


def main():
    arguments = vars(parser().parse_args())
    processes.start()
    out = RunFolder(arguments.get('out', 'runs/wgan'))
    options, config, changes = read_options(out, arguments)
    processes.wait_for_all()            # all must have read --out before one writes to it
    if options.deterministic:
        C.cntk_py.force_deterministic_algorithms()          # before any network is built
    domain = make_domain(options, config)
    device = select_device(options.device, domain.memory_needed(), options.tf32)
    try:
        if IS_MAIN:
            out.lock()
            out.remove_left_behind()
        training = (resume(options, config, changes, domain, device, out) if options.resume
                    else start(options, domain, device, out))
        return train(training, options) if training else processes.end()
    except OSError as error:            # a full disk, a quota, a read-only folder
        latest = checkpoint.latest(out.path('checkpoints'))
        raise UserError('%s: %s; %s' % (
            one_line(str(error.filename or options.out)), error.strerror or error,
            '%s is complete: put it right and continue with --resume' % one_line(latest[0])
            if latest else 'nothing was saved yet: put it right and start again with --overwrite'))


if __name__ == '__main__':
    run(main)
