"""What is written of a run while it trains: losses, progress, samples, scores, checkpoints."""

import contextlib
import os
import signal
import sys
import time

from wgan import checkpoint, processes
from wgan.command_line import Progress, UserError, one_line
from wgan.run_results import BEST, plot_table

import numpy as np


class Recorder(contextlib.ExitStack):
    """Logs each iteration, and scores, samples and saves at its times, while it is entered.

    NaN and infinity end a run before anything of them is saved. Of several processes, the first
    writes.
    stopped: the number of the signal that ended the run, or 0.
    """

    def __init__(self, out, updates, state, about, iterations, every, samples, scores=None,
                 tensorboard=False, step=0):
        """out: the RunFolder. updates: the Updates. state: returns what else a checkpoint has to
        save, as arrays by name. about: what is kept with a checkpoint, as JSON. every: iterations
        between two of each of 'score', 'sample' and 'checkpoint'; None: never. samples: makes
        and writes some. scores: the ScoreTable that measures generators, in the first process.
        step: iterations that are done already.
        """
        super().__init__()
        self.out, self.updates, self.state, self.about = out, updates, state, about
        self.iterations, self.every, self.samples = iterations, every, samples
        self.scores, self.is_main, self.stopped = scores, processes.RANK == 0, 0
        self.progress = Progress('training', iterations, done=step)
        self.board = tensorboard_writer(out, step) if tensorboard and self.is_main else None

    def __enter__(self):
        self.stop = self.enter_context(StopSignal())
        self.table = self.enter_context(
            open(self.out.path('wgan.csv') if self.is_main else os.devnull, 'a'))
        if self.board:
            self.callback(self.board.close)
        self.start = time.time()
        return super().__enter__()

    def record(self, step, row):
        """Log the iteration `step`, and do what is due after it. Returns whether to stop.

        row: the numbers of `updates.columns` in this process. All processes call it together.
        Raises UserError if a number is NaN or infinite.
        """
        # Each process has its own numbers; and all stop if one is to.
        stop_requested, *row = processes.mean([float(self.stop.requested)] + row)
        status = ' '.join('%s %.4g' % pair for pair in zip(self.updates.columns, row))
        self._check(step, row, 'a loss is NaN or infinite (%s)' % status)
        self._log(step, row)
        self.progress.show(step, status)

        done = step == self.iterations
        if stop_requested > 0 and not done:
            self.stopped = self.stop.requested or signal.SIGTERM
        due = {what: every and (step % every == 0 or done or (self.stopped and what != 'score'))
               for what, every in self.every.items()}
        if any(due.values()):
            self._check_weights(step)
        is_best = due['score'] and self._score(step)
        if due['sample'] and self.is_main:
            self._save_samples(step)
        if due['checkpoint'] or is_best:
            self._save(step)
        self.start = time.time()
        return self.stopped

    def _log(self, step, row):
        self.table.write(','.join(['%d' % step] + ['%.9g' % value for value in row]
                                  + ['%.3f\n' % (time.time() - self.start)]))
        self.table.flush()
        for name, value in zip(self.updates.columns, row) if self.board else ():
            self.board.add_scalar(name, value, step)

    def _score(self, step):
        """Whether no score before was as good; the best generator is kept."""
        if self.is_main:
            self.out.own.claim('scores.csv')
        better = self.is_main and self.scores.add(step, self.updates.sample_generator)
        if self.is_main:
            plot_table(self.out, 'scores')
        if better:
            self.out.save_network(self.updates.sample_generator, BEST)
        return processes.mean([float(better)])[0] > 0

    def _save_samples(self, step):
        made = self.samples.make(self.updates.sample_generator, self.updates.batch_size)
        name = 'samples/step_%06d%s' % (step, self.samples.suffix)
        self.samples.write(self.out.own.claim(name), made)
        if self.board:
            self.samples.add_to(self.board, made, step)

    def _save(self, step):
        if self.is_main:
            self.table.flush()
            os.fsync(self.table.fileno())
            self.out.own.add('checkpoints/' + checkpoint.name_of(step))
        checkpoint.save(self.out.path('checkpoints'), step, self.updates.trainers, self.state(),
                        self.about, self.out.own_steps() if self.is_main else (),
                        best=self.scores.best_step if self.scores else None)
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

    def _check(self, step, numbers, what):
        """Raise UserError before anything that is NaN or infinite is saved."""
        if np.all(np.isfinite(numbers)):
            return
        found = checkpoint.latest(self.out.path('checkpoints'))
        raise UserError(
            'iteration %d: %s; nothing of it was saved. %s. Start again with a smaller '
            '--learning-rate, or look into the images' % (
                step, what, 'The last good checkpoint is %s' % one_line(found[0]) if found else
                'There was no checkpoint yet'))


def tensorboard_writer(out, step):
    """A writer of losses and grids for TensorBoard, continuing after `step`.

    CNTK has one (C.logging.TensorBoardProgressWriter), but on a current Linux only its numbers
    work: for images it needs libjpeg 8. tensorboardX writes both.
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
