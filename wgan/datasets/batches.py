"""Minibatches of a data set, and its split into training and held-out items."""

from collections import defaultdict

from wgan.machine.terminal import COUNT, UserError, one_line

import numpy as np


class Batches:
    """Endless minibatches. Each epoch has all items once, in a new order.

    items: a sequence, this process's share of the data. Its attributes: `source`, the file or
        folder; `item_name`, 'images' or 'lines'; `noun`, a longer name of its items.
    rng: the numpy.random.RandomState that the order is drawn from.
    Raises UserError if there are fewer items than batch_size.
    """

    def __init__(self, items, batch_size, rng):
        if batch_size > len(items):
            shares = (' %d for each of %d processes,' % (batch_size, COUNT) if COUNT > 1 else '')
            raise UserError('--batch-size is %d,%s but %s has only %d readable %s%s' % (
                batch_size * COUNT, shares, one_line(items.source), len(items), items.noun,
                ' for one of them' * bool(shares)))
        self.items, self.batch_size, self.rng = items, batch_size, rng
        self.begin_epoch()

    def begin_epoch(self):
        """Starts a new epoch in a new order."""
        self.order, self.position = self.rng.permutation(len(self.items)), 0

    def choose(self):
        """Returns the indices of the items of the next minibatch."""
        if self.position + self.batch_size > len(self.order):
            self.begin_epoch()
        chosen = self.order[self.position:self.position + self.batch_size]
        self.position += self.batch_size
        return chosen


def split(items, hold_out, seed, contents=None):
    """Returns (items to train on, items to hold out), each in the order of `items`.

    hold_out: fraction to hold out, 0 … 1; the result may be smaller where items are copies.
    contents: a value for each item. Items with equal values are copies and stay on one side. None:
    there are no copies.
    The split depends on the seed alone: it is the same in all processes and in a resumed run.
    """
    contents = range(len(items)) if contents is None else contents
    copies = defaultdict(list)
    for i, content in enumerate(contents):
        copies[content].append(i)
    wanted, held_out = int(round(hold_out * len(items))), set()
    for i in np.random.RandomState(seed).permutation(len(items)):
        if len(held_out) + len(copies[contents[i]]) <= wanted:
            held_out.update(copies[contents[i]])
            copies[contents[i]] = []
    return tuple([item for i, item in enumerate(items) if (i in held_out) == is_held_out]
                 for is_held_out in (False, True))


def nothing_left(hold_out, count, item_name, noun):
    """Returns the UserError for an empty part, called `noun`. count: number of all items."""
    return UserError('--hold-out %g of %d %s leaves no %s%s; --hold-out 0 trains on all%s' % (
        hold_out, count, item_name, noun,
        ' for one of %d processes' % COUNT if COUNT > 1 else '',
        ' (without --hold-out, text has a default)' if item_name == 'lines' else ''))
