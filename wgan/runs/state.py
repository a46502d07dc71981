"""The state of a training beside CNTK's trainers, as arrays for a checkpoint."""


def arrays_of(updates, batches, held_out, rng):
    """Returns the state as a dict of arrays and numbers. held_out: minibatches, or None."""
    state = dict(random_state(rng), order=batches.order, position=batches.position,
                 **updates.arrays())
    if held_out:
        state.update(held_out_order=held_out.order, held_out_position=held_out.position)
    return state


def restore(state, updates, batches, held_out, rng, same_data):
    """Inverse of `arrays_of`, after the trainers were restored.

    same_data: whether the data are those of the state. Changed data begin with a new epoch.
    """
    set_random_state(rng, state)
    updates.restore(state)
    if not same_data:
        batches.begin_epoch()
        return
    batches.order, batches.position = state['order'], int(state['position'])
    if held_out:
        held_out.order = state['held_out_order']
        held_out.position = int(state['held_out_position'])


def random_state(rng):
    """Returns the state of a numpy.random.RandomState as a dict of arrays and numbers."""
    _, keys, position, has_gauss, gauss = rng.get_state()
    return {'rng_keys': keys, 'rng_position': position, 'rng_has_gauss': has_gauss,
            'rng_gauss': gauss}


def set_random_state(rng, state):
    """Inverse of `random_state`."""
    rng.set_state(('MT19937', state['rng_keys'], int(state['rng_position']),
                   int(state['rng_has_gauss']), float(state['rng_gauss'])))
