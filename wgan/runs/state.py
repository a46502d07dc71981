"""The state of a training beside CNTK's trainers, as arrays for a checkpoint."""


class State:
    """The state of a training: of its Updates, minibatches, held-out minibatches (or None), and
    RandomState.
    """

    def __init__(self, updates, batches, held_out, rng):
        self.updates, self.batches, self.held_out, self.rng = updates, batches, held_out, rng

    def arrays(self):
        """Returns the state as a dict of arrays and numbers."""
        state = dict(random_state(self.rng), order=self.batches.order,
                     position=self.batches.position, **self.updates.arrays())
        if self.held_out:
            state.update(held_out_order=self.held_out.order,
                         held_out_position=self.held_out.position)
        return state

    def restore(self, state, same_data):
        """Inverse of `arrays`, after the trainers were restored.

        same_data: whether the data are those of the state. Changed data begin with a new epoch.
        """
        set_random_state(self.rng, state)
        self.updates.restore(state)
        if not same_data:
            self.batches.begin_epoch()
            return
        self.batches.order, self.batches.position = state['order'], int(state['position'])
        if self.held_out:
            self.held_out.order = state['held_out_order']
            self.held_out.position = int(state['held_out_position'])


def random_state(rng):
    """Returns the state of a numpy.random.RandomState as a dict of arrays and numbers."""
    _, keys, position, has_gauss, gauss = rng.get_state()
    return {'rng_keys': keys, 'rng_position': position, 'rng_has_gauss': has_gauss,
            'rng_gauss': gauss}


def set_random_state(rng, state):
    """Inverse of `random_state`."""
    rng.set_state(('MT19937', state['rng_keys'], int(state['rng_position']),
                   int(state['rng_has_gauss']), float(state['rng_gauss'])))
