"""An update changes what it should, and does no work for the other network."""

import numpy as np
import pytest

from wgan.machine.cntk import C
from helpers import make_updates
from wgan.training.objectives import OBJECTIVES
from wgan.training.updates import of_parameters


@pytest.fixture
def updates():
    return make_updates('wgan-gp')


def weights(network):
    return [p.value for p in network.parameters]


def changed(before, after):
    return [not np.array_equal(a, b) for a, b in zip(before, after)]


def test_each_update_trains_one_network(updates):
    generator, critic = updates.generator, updates.critic
    before, statistics = (weights(generator), weights(critic)), generator.constants[0].value
    updates.update_critic(np.zeros((4, 3, 32, 32), np.float32))
    between = weights(generator), weights(critic)
    assert not any(changed(before[0], between[0]))
    # All but the score's bias, which a difference of scores does not have.
    assert changed(before[1], between[1]).count(False) == 1
    assert not np.array_equal(generator.constants[0].value, statistics)     # images were made
    updates.update_generator(1)
    assert all(changed(between[0], weights(generator)))
    assert not any(changed(between[1], weights(critic)))
    assert len(updates.row()) == len(updates.columns) and np.isfinite(updates.row()).all()


def test_critic_update_does_nothing_backwards_in_the_generator(updates, capfd):
    """CNTK lists the tensors of a network, gradients too. The generator's image is a tanh."""
    def gradients(update, *arguments):
        C.cntk_py.set_computation_network_trace_level(1)
        try:
            update(*arguments)
        finally:
            C.cntk_py.set_computation_network_trace_level(0)
        said = capfd.readouterr().err
        assert 'Tanh' in said
        return [line for line in said.splitlines() if 'Tanh' in line and '(gradient)' in line]

    assert not gradients(updates.update_critic, np.zeros((4, 3, 32, 32), np.float32))
    assert gradients(updates.update_generator, 1)


@pytest.mark.parametrize('objective', ['wgan-gp', 'sn-gan'])
def test_what_depends_on_the_critics_weights_only_is_computed_once(objective):
    """For all that it judges. The layers have such operations."""
    updates = make_updates(objective)

    def such(network):
        return {v.uid for v in of_parameters(network)}

    of_critic, losses = such(updates.critic), updates.losses
    assert len(of_critic) >= 4
    assert such(losses.generator_loss) == of_critic
    if objective == 'wgan-gp':          # its gradient has more of them
        assert of_critic < such(losses.critic_loss)
    else:
        assert such(losses.critic_loss) == of_critic


@pytest.mark.slow
def test_what_is_logged_of_the_critic_is_the_mean_of_its_updates(updates, monkeypatch):
    """Of all its updates in the iteration, and of no other."""
    seen, critic = [], updates.trainers['critic']
    real = critic.train_minibatch

    def watched(feed, outputs):
        result = real(feed, outputs=outputs)
        seen.append([critic.previous_minibatch_loss_average]
                    + [np.mean(result[1][f]) for f in updates.logged])
        return result
    monkeypatch.setattr(critic, 'train_minibatch', watched)
    rng = np.random.RandomState(1)
    for step in (1, 2):
        del seen[:]
        for _ in range(3):
            updates.update_critic(rng.uniform(-1, 1, (4, 3, 32, 32)).astype(np.float32))
        updates.update_generator(step)
        assert len(seen) == 3 and len({row[0] for row in seen}) == 3
        row = dict(zip(updates.columns, updates.row()))
        np.testing.assert_allclose(updates.row()[1:], np.mean(seen, axis=0), rtol=1e-6)
        assert row['C_loss'] == pytest.approx(10 * row['GP'] - row['wasserstein'], rel=1e-4)


def test_the_generator_is_compared_with_the_critics_last_images(monkeypatch):
    updates = make_updates('r3gan')
    fed, train = [], updates.trainers['generator'].train_minibatch
    monkeypatch.setattr(updates.trainers['generator'], 'train_minibatch', lambda feed: (
        fed.append(feed[updates.real]), train(feed))[1])
    for value in (0, 0.5):
        updates.update_critic(np.full((4, 3, 32, 32), value, np.float32))
    before = weights(updates.critic)
    updates.update_generator(1)
    assert (fed[0] == 0.5).all()
    assert not any(changed(before, weights(updates.critic)))


def test_one_power_iteration_for_each_update_of_the_critic():
    """And none for what else asks the critic."""
    updates = make_updates('sn-gan', '--hold-out', '0.5')
    vectors = [c for c in updates.critic.constants if c.name in ('singular_u', 'singular_v')]
    assert len(vectors) == 8
    images = np.random.RandomState(1).uniform(-1, 1, (4, 3, 32, 32)).astype(np.float32)
    values, calls = [], []
    run, updates.power_iteration.run = updates.power_iteration.run, lambda: (
        calls.append(1), run())
    for act in (lambda: updates.update_critic(images), lambda: updates.update_generator(1),
                lambda: updates.judge_held_out(images), lambda: updates.update_critic(images)):
        values.append([v.value for v in vectors])
        act()
    values.append([v.value for v in vectors])
    assert len(calls) == 2
    assert any(changed(values[0], values[1])) and any(changed(values[3], values[4]))
    assert not any(changed(values[1], values[3]))


def operations(graph):
    """All operations of a graph, also inside of blocks."""
    return [f for f in C.logging.graph.depth_first_search(
        graph, lambda f: isinstance(f, C.Function), depth=-1) if isinstance(f, C.Function)]


def stalls_a_gpu(operation):
    """Whether CNTK computes a product sample by sample, with memory that it allocates for it, or
    has a batch's layout go to the host and back, as operations on sequences do.
    """
    product = operation.op_name in ('Times', 'TransposeTimes')
    return (product and bool(operation.inputs[1].dynamic_axes)
            or any(words in operation.op_name for words in ('Packed', 'Where', 'PastValue')))


@pytest.mark.slow
@pytest.mark.parametrize('augment', [[], ['--augment']])
@pytest.mark.parametrize('objective', list(OBJECTIVES))
def test_nothing_in_the_graphs_stalls_a_gpu(objective, augment):
    """LinearAlgebraNodes.h: a product goes to BatchMatMul if its right operand has a batch axis."""
    updates = make_updates(objective, *augment)
    graphs = [C.combine([updates.losses.critic_loss] + updates.logged),
              updates.losses.generator_loss]
    for graph in graphs:
        found = operations(graph)
        assert sum(f.op_name == 'Times' for f in found) >= 5
        assert not [f.op_name for f in found if stalls_a_gpu(f)]


def test_what_stalls_a_gpu_is_found():
    x = C.input_variable((4, 4))
    for graph in (C.times(x, x), C.times(C.parameter((1, 4)), x), C.tanh(C.times_transpose(x, x)),
                  C.sequence.first(C.to_sequence(x))):
        assert any(map(stalls_a_gpu, operations(graph)))
    assert not any(map(stalls_a_gpu, operations(C.times(x, C.parameter((4, 4))))))
