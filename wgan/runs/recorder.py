"""What is written of a run while it trains: losses, progress, samples, scores, checkpoints."""

import contextlib
import os
import signal
import sys
import time
from collections import namedtuple

from wgan.machine import processes, signals
from wgan.runs import checkpoint
from wgan.machine.command_line import Progress, UserError, one_line
from wgan.runs.results import BEST, plot_table

import numpy as np


# What the loop of a training needs. out: the RunFolder. updates: the Updates. batches, held_out:
# minibatches of real data; held_out may be None. about: what is kept with a checkpoint, as JSON.
# state: returns what else a checkpoint has to save, as arrays by name. samples: makes and writes
# some. scores: the ScoreTable that measures generators, or None. step: iterations that are done.
# score_is_due: whether `step` is still to be scored.
Training = namedtuple(
    'Training', 'out updates batches held_out about state samples scores step score_is_due')


class Recorder(contextlib.ExitStack):
    """Logs each iteration, and scores, samples and saves at its times, while it is entered.

    NaN and infinity end a run before anything of them is saved. Of several processes, the first
    writes.
    stopped: the number of the signal that ended the run, or 0.
    """

    def __init__(self, training, iterations, every, tensorboard=False):
        """training: a Training. iterations: how many it is to have. every: iterations between two
        of each of 'score', 'sample' and 'checkpoint'; None: never.
        """
        super().__init__()
        self.out, self.updates, self.state = training.out, training.updates, training.state
        self.about, self.samples, self.scores = training.about, training.samples, training.scores
        self.iterations, self.every = iterations, every
        self.is_main, self.stopped = processes.RANK == 0, 0
        self.progress = Progress('training', iterations, done=training.step)
        self.board = (tensorboard_writer(self.out, training.step)
                      if tensorboard and self.is_main else None)

    def __enter__(self):
        self.stop = self.enter_context(signals.Stop(then=_say_that_it_stops))
        self.table = self.enter_context(
            open(self.out.path('wgan.csv') if self.is_main else os.devnull, 'a'))
        if self.board:
            self.callback(self.board.close)
        self.start = time.time()
        return super().__enter__()

    def record(self, step, row):
        """Log the iteration `step`, and do what is due after it; `stopped` says whether to stop.

        row: the numbers of `updates.columns` in this process. All processes call it together.
        Raises UserError if a number is NaN or infinite.
        """
        # Each process has its own numbers; and all stop if one is to.
        stop_requested, row = processes.any_of(self.stop.requested), processes.mean(row)
        status = ' '.join('%s %.4g' % pair for pair in zip(self.updates.columns, row))
        self._check(step, row, 'a loss is NaN or infinite (%s)' % status)
        self._log(step, row)
        self.progress.show(step, status)

        done = step == self.iterations
        if stop_requested and not done:
            self.stopped = self.stop.requested or signal.SIGTERM
        due = {event: every and (step % every == 0 or done or (self.stopped and event != 'score'))
               for event, every in self.every.items()}
        if any(due.values()):
            self._check_weights(step)
        if due['sample'] and self.is_main:
            self._save_samples(step)
        if due['checkpoint']:
            self._save(step)
        # A score takes minutes, and what sends a signal may not wait for it.
        is_best = due['score'] and self.score(step)
        if (is_best or self.stopped) and not due['checkpoint']:
            self._save(step)
        self.start = time.time()

    def _log(self, step, row):
        self.table.write(','.join(['%d' % step] + ['%.9g' % value for value in row]
                                  + ['%.3f\n' % (time.time() - self.start)]))
        self.table.flush()
        for name, value in zip(self.updates.columns, row) if self.board else ():
            self.board.add_scalar(name, value, step)

    def score(self, step):
        """Whether no score before was as good; the best generator is kept.

        A signal ends the measuring: then `stopped` is set, and the score is due when the run is
        resumed. All processes call it together.
        """
        row = self._measure(step) if self.is_main else None
        better = row is not None and self.scores.is_better(row)
        if better:
            self.out.save_network(self.updates.sample_generator, BEST)
        if row is not None:                     # last: with its row, a score is no longer due
            self.out.claim('scores.csv')
            self.scores.append(row)
            plot_table(self.out, 'scores')
        if processes.any_of(self.is_main and row is None):
            self.stopped = self.stop.requested or signal.SIGTERM
        return processes.any_of(better)

    def _measure(self, step):
        """The scores of the generator, or None if a signal came before they were measured."""
        try:
            with self.stop.interrupting():
                return self.scores.measure(step, self.updates.sample_generator)
        except (signals.Stopped, Exception):    # CNTK may make another exception of it
            if not self.stop.requested:
                raise
            return None

    def _save_samples(self, step):
        samples = self.samples.make(self.updates.sample_generator, self.updates.batch_size)
        name = 'samples/step_%06d%s' % (step, self.samples.suffix)
        self.samples.write(self.out.claim(name), samples)
        if self.board:
            self.samples.add_to(self.board, samples, step)

    def _save(self, step):
        if self.is_main:
            self.table.flush()
            os.fsync(self.table.fileno())
        checkpoint.save(self.out.path('checkpoints'), step, self.updates.trainers, self.state(),
                        self.about, best=self.scores.best_step if self.scores else None)
        if self.is_main:
            for name, network in self.updates.networks().items():
                self.out.save_network(network, name)
            plot_table(self.out, 'wgan')

    def _check_weights(self, step):
        for name, network in (('generator', self.updates.generator),
                              ('critic', self.updates.critic)):
            for p in list(network.parameters) + list(network.constants):
                self._check(step, p.value, 'a weight of the %s (%s, %s) is NaN or infinite' % (
                    name, p.name, ' × '.join(map(str, p.shape)) or 'one number'))
        for name, values in self.updates.arrays().items():
            self._check(step, values,
                        'what belongs to the weights (%s) is NaN or infinite' % name)

    def _check(self, step, numbers, problem):
        """Raise UserError before anything that is NaN or infinite is saved."""
        if np.all(np.isfinite(numbers)):
            return
        latest = checkpoint.latest(self.out.path('checkpoints'))
        raise UserError(
            'iteration %d: %s; nothing of it was saved. %s. Start again with a smaller '
            '--learning-rate, or look into the images' % (
                step, problem, 'The last good checkpoint is %s' % one_line(latest[0]) if latest else
                'There was no checkpoint yet'))


def tensorboard_writer(out, step):
    """A writer of losses and grids for TensorBoard, continuing after `step`.

    CNTK has one (C.logging.TensorBoardProgressWriter), but on a current Linux only its numbers
    work: for images it needs libjpeg 8. tensorboardX writes both.
    """
    from tensorboardX import SummaryWriter          # takes a second, which other runs save
    return SummaryWriter(out.path('tensorboard'), purge_step=step + 1 if step else None)


def _say_that_it_stops():
    """Inside of a signal handler, where Python's streams may be in the midst of something."""
    if processes.RANK == 0:
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), '\nstopping after this iteration …\n'.encode(
                sys.stderr.encoding or 'ascii', 'backslashreplace'))
