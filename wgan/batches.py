"""Minibatches of a data set, and its parts: to train on, and held out."""

from wgan.command_line import UserError, one_line

import numpy as np


class Batches:
    """The order of minibatches without end: each epoch all items once, in a new order.

    items: a sequence with `source` and `noun`, what it was read from and what to call its items.
    rng: the numpy.random.RandomState that the order is drawn from.
    Raises UserError if there are fewer items than batch_size.
    """

    def __init__(self, items, batch_size, rng):
        if batch_size > len(items):
            raise UserError('--batch-size is %d, but %s has only %d readable %s'
                            % (batch_size, one_line(items.source), len(items), items.noun))
        self.items, self.batch_size, self.rng = items, batch_size, rng
        self.begin_epoch()

    def begin_epoch(self):
        """Have all items before it, in a new order."""
        self.order, self.position = self.rng.permutation(len(self.items)), 0

    def choose(self):
        """The numbers of the items of the next minibatch."""
        if self.position + self.batch_size > len(self.order):
            self.begin_epoch()
        chosen = self.order[self.position:self.position + self.batch_size]
        self.position += self.batch_size
        return chosen


def split(items, hold_out, seed):
    """(items to train on, items to hold out), each in their order.

    hold_out: which part of them is held out, 0 … 1. Which ones is drawn from the seed alone: it is
    the same in all processes, and whenever a run is resumed.
    """
    drawn = np.random.RandomState(seed).permutation(len(items))
    held_out = set(drawn[:int(round(hold_out * len(items)))])
    return tuple([item for i, item in enumerate(items) if (i in held_out) == wanted]
                 for wanted in (False, True))
