"""Records a run while it trains: losses, progress, samples, scores, checkpoints."""

import contextlib
import os
import signal
import sys
import time
from collections import namedtuple

from wgan.machine import processes, signals
from wgan.runs import checkpoint
from wgan.machine.command_line import Progress, UserError, one_line
from wgan.runs.results import BEST, page_of, plot_table

import numpy as np

PLOT_EVERY = 10                 # seconds at least between two plots, each of which takes about one

# The input of the training loop. out: the RunFolder. updates: the Updates. batches, held_out:
# minibatches of real data; held_out may be None. about: a dict for the checkpoint's manifest.
# state: the State, for checkpoints. samples: an ImageSamples or TextSamples. scores: a ScoreTable,
# or None. step: number of finished iterations. score_is_due: whether `step` is still to be scored.
Training = namedtuple(
    'Training', 'out updates batches held_out about state samples scores step score_is_due')


class Recorder(contextlib.ExitStack):
    """Logs each iteration, and scores, samples and saves when due. It is a context manager.

    NaN or infinity ends a run before they are saved. Only the first process writes. Plots are drawn
    when they are due and the last ones are PLOT_EVERY seconds old, and when the run ends.
    stopped: the number of the signal that ended the run, or 0.
    """

    def __init__(self, training, iterations, every, tensorboard=False, page=False):
        """training: a Training. iterations: the last iteration. every: {'score', 'sample',
        'checkpoint': iterations between two of them, or None for never}. page: whether to write
        page.html with each checkpoint.
        """
        super().__init__()
        self.out, self.updates, self.state = training.out, training.updates, training.state
        self.about, self.samples, self.scores = training.about, training.samples, training.scores
        self.iterations, self.every, self.page = iterations, every, page
        self.is_main, self.stopped = processes.RANK == 0, 0
        self.not_plotted = set()                # tables with rows that their plots do not have
        self.progress = Progress('training', iterations, done=training.step)
        self.board = (tensorboard_writer(self.out, training.step)
                      if tensorboard and self.is_main else None)

    def __enter__(self):
        self.stop = self.enter_context(signals.Stop(then=_say_that_it_stops))
        self.table = self.enter_context(
            open(self.out.path('wgan.csv') if self.is_main else os.devnull, 'a'))
        if self.board:
            self.callback(self.board.close)
        self.callback(self._plot)
        self.start = self.plotted = time.time()
        return super().__enter__()

    def record(self, step, row):
        """Logs the iteration `step`, and scores, samples and saves if due. Sets `stopped`.

        row: the numbers of `updates.columns` in this process. All processes call it together.
        Raises UserError if a number is NaN or infinite.
        """
        # Each process has its own numbers. All stop if one got a signal.
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
        # After a signal there is no time for a score, which takes minutes.
        is_best = due['score'] and self.score(step)
        if (is_best or self.stopped) and not due['checkpoint']:
            self._save(step)
        if self.not_plotted and time.time() - self.plotted >= PLOT_EVERY:
            self._plot()
        # Nor for a page. It is the last, to have the score.
        if self.page and self.is_main and due['checkpoint'] and not self.stopped:
            page_of(self.out, self._unless_stopped)
        self.start = time.time()

    def _log(self, step, row):
        self.table.write(','.join(['%d' % step] + ['%.9g' % value for value in row]
                                  + ['%.3f\n' % (time.time() - self.start)]))
        self.table.flush()
        for name, value in zip(self.updates.columns, row) if self.board else ():
            self.board.add_scalar(name, value, step)

    def score(self, step):
        """Scores the generator, and saves it if it is the best. Returns whether it is.

        A signal interrupts this: `stopped` is set, and the resumed run scores this step. All
        processes call it together.
        """
        row = (self._unless_stopped(
            lambda: self.scores.measure(step, self.updates.sample_generator))
            if self.is_main else None)
        better = row is not None and self.scores.is_better(row)
        if better:
            self.out.save_network(self.updates.sample_generator, BEST)
        if row is not None:                     # last, since the row marks the score as done
            self.out.claim('scores.csv')
            self.scores.append(row)
            self.not_plotted.add('scores')
        if processes.any_of(self.is_main and row is None):
            self.stopped = self.stop.requested or signal.SIGTERM
        return processes.any_of(better)

    def _unless_stopped(self, make):
        """Returns what `make` returns, or None if a signal interrupted it."""
        try:
            with self.stop.interrupting():
                return make()
        except (signals.Stopped, Exception):    # CNTK may replace Stopped by another exception
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
        checkpoint.save(self.out.path('checkpoints'), step, self.updates.trainers,
                        self.state.arrays(),
                        self.about, best=self.scores.best_step if self.scores else None)
        if self.is_main:
            for name, network in self.updates.networks().items():
                self.out.save_network(network, name)
            self.not_plotted.add('wgan')

    def _plot(self):
        while self.not_plotted:
            plot_table(self.out, self.not_plotted.pop())
        self.plotted = time.time()

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
        """Raises UserError if a number is NaN or infinite. problem: what to tell the user."""
        if np.all(np.isfinite(numbers)):
            return
        latest = checkpoint.latest(self.out.path('checkpoints'))
        raise UserError(
            'iteration %d: %s; nothing of it was saved. %s. Start again with a smaller '
            '--learning-rate, or look into the images' % (
                step, problem, 'The last good checkpoint is %s' % one_line(latest[0]) if latest else
                'There was no checkpoint yet'))


def tensorboard_writer(out, step):
    """Returns a writer of losses and grids for TensorBoard, which continues after `step`.

    It is tensorboardX's, because CNTK's own TensorBoardProgressWriter needs libjpeg 8 for images.
    """
    from tensorboardX import SummaryWriter          # here, since it takes a second to load
    return SummaryWriter(out.path('tensorboard'), purge_step=step + 1 if step else None)


def _say_that_it_stops():
    """Prints in a signal handler, without Python's streams, which may be in use."""
    if processes.RANK == 0:
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), '\nstopping after this iteration …\n'.encode(
                sys.stderr.encoding or 'ascii', 'backslashreplace'))
