"""cntk_doctor.py finds each planted fault, and none in sound networks; the faults are real."""

import os
import subprocess
import sys
import time

from helpers import ROOT, TESTS, make_updates

import cntk_doctor
from cntk_doctor import CHECKS, Network, diagnose, mend
from doctor_cases import (
    L, PLANTED, SOUND, adam, duplicated, features, image, skip, trained_by, upsample)
from random_graphs import F64, RandomGraph, deviation, difference, total
from wgan.training.objectives import OBJECTIVES

import cntk as C
import numpy as np
import pytest

pytestmark = pytest.mark.slow

WEIGHTS = os.path.join(ROOT, '..', 'shared', 'weights')


def examined(made, **data):
    """The findings in what a function of doctor_cases.py returns."""
    function, learners = made if isinstance(made, tuple) else (made, ())
    return diagnose(function, learners, **data)


def checks(findings):
    return {f.check for f in findings}


@pytest.mark.parametrize('check, make', PLANTED, ids=[
    '%s %d' % (check, i) for i, (check, _) in enumerate(PLANTED)])
def test_a_planted_fault_is_found_and_named(check, make):
    findings = examined(make())
    assert check in checks(findings)
    for f in findings:
        assert f.where and f.what and f.instead and f.why == CHECKS[f.check].why
        assert f.sure in ('sure', 'likely', 'may be')


def test_at_least_25_faults_are_planted_of_all_kinds():
    assert len(PLANTED) >= 25
    called = {'mode of training', 'slow ReLU'}              # these are tested below
    assert {check for check, _ in PLANTED} == set(CHECKS) - called


@pytest.mark.parametrize('make', SOUND)
def test_sound_networks_have_no_finding(make):
    assert examined(make()) == []


@pytest.mark.parametrize('objective', sorted(OBJECTIVES))
def test_trainers_of_the_project_have_no_finding(objective):
    updates = make_updates(objective)
    for trainer in updates.trainers.values():
        assert diagnose(trainer.loss_function, trainer.parameter_learners) == []


@pytest.mark.parametrize('name', ['googlenet_bvlc.onnx', 'inception_v3_2015.onnx'])
def test_networks_of_others_have_no_finding(name):
    path = os.path.join(WEIGHTS, name)
    if not os.path.isfile(path):
        pytest.skip('%s is absent' % path)
    network, begin = cntk_doctor.load(path), time.time()
    assert diagnose(network) == []
    print('%s: %.1f seconds' % (name, time.time() - begin))


# Random graphs: their gradients are wrong in about one of a hundred.

def wrong_gradients(network, data):
    """Whether a gradient that CNTK computes deviates from its central difference."""
    measured, rng = cntk_doctor._Measured(network, data), np.random.RandomState(0)
    for v, gradient in measured.gradients().items():
        start = v.value if v.is_parameter else measured.feed[v]
        direction = rng.uniform(-1, 1, start.shape)

        def along(t):
            moved = np.asarray(start + t * direction)
            if v.is_parameter:
                v.value = moved
                return measured.value()
            return total(measured.loss.eval({**measured.feed, v: moved}))

        expected = difference(along)
        if v.is_parameter:
            v.value = start
        found = float(np.sum(gradient * direction))
        if expected is not None and deviation(found, expected) > 1e-5:
            return True
    return False


def random_network(seed):
    """(network, data, operations) of a random graph; None if CNTK can't compute it."""
    try:
        graph = RandomGraph(seed)
        data = graph.samples()
        network = C.combine([graph.output])
        if graph.x not in network.arguments:
            return None
        network.eval({x: data for x in network.arguments})
    except (ValueError, RuntimeError, TypeError):
        return None
    return network, {graph.x: data}, graph.operations


def check_random(seeds):
    """(graphs, with a wrong gradient, with a finding); fails for a miss or a false alarm."""
    graphs = wrong = found = 0
    for seed in seeds:
        made = random_network(seed)
        if made is None:
            continue
        network, data, operations = made
        findings = diagnose(network, data=data)
        names = checks(findings)
        graphs, found = graphs + 1, found + bool(names)
        really_wrong = wrong_gradients(network, data)
        wrong += really_wrong
        # 'may be': all gradients are 0, so that none is wrong, but others could be
        assert really_wrong == any(f.sure != 'may be' and f.check in (
            'transposed convolution', 'equal maxima') for f in findings), seed
        drawn = {'softmax': 'softmax over all numbers',
                 'LayerNormalization': 'layer normalisation by column'}
        assert names - {'transposed convolution'} <= {
            check for name, check in drawn.items() if name in operations}, seed
    return graphs, wrong, found


def test_the_page_lists_all_checks():
    with open(os.path.join(ROOT, 'docs', 'doctor.md'), encoding='utf-8') as page:
        text = page.read()
    for check in CHECKS:
        assert '| %s |' % check in text


def test_random_graphs_have_neither_misses_nor_false_alarms():
    graphs, wrong, found = check_random(range(400))
    assert graphs > 300 and 0 < wrong <= found
    print('%d graphs, gradients wrong in %d, findings in %d' % (graphs, wrong, found))


def planted_into(v, rng, kind):
    """By fault: a function that computes something with it from a value v of a random graph."""
    def parameter():
        return C.parameter(v.shape, init=rng.uniform(-1, 1, v.shape), dtype=v.dtype)

    h, size = C.tanh(v * parameter()), int(np.prod(v.shape))
    flat, found = C.reshape(h, (size,)), {}
    found['sum behind stop_gradient'] = lambda: h * C.stop_gradient(v * parameter() + parameter())
    if kind != 'no batch axis':
        found['one random number for a batch'] = lambda: h * C.random.uniform((1,), dtype=v.dtype)
        if sum(n > 1 for n in v.shape) > 1:
            found['softmax over all numbers'] = lambda: C.softmax(h) * parameter()
        if len(v.shape) == 3:
            found['transposed convolution'] = lambda: h + upsample(v.shape[0])(h)
        if len(v.shape) == 3 and size > v.shape[-1] > 1:
            found['layer normalisation by column'] = lambda: L.LayerNormalization()(h)
    if kind == 'batch':
        found['equal maxima'] = lambda: C.reduce_max(duplicated(flat))
        if size > 1:
            found['product summed over the batch'] = lambda: C.times(
                flat, C.reshape(flat, (size, 1)))
    return found


def check_planted(seeds):
    """(planted, found); fails if a fault is missed that is there, or another is found."""
    planted = found = 0
    for graph in (RandomGraph(seed) for seed in seeds if random_network(seed)):
        data = graph.samples()
        sound = checks(diagnose(C.combine([graph.output]), data={graph.x: data}))
        v = graph.values[graph.rng.randint(len(graph.values))]
        with C.default_options(dtype=F64):
            makes = planted_into(getattr(v, 'output', v), graph.rng, graph.kind)
            for check, make in makes.items():
                try:
                    loss = C.reduce_sum(make()) + C.tanh(C.reduce_sum(graph.output))
                except (ValueError, RuntimeError):          # a kernel larger than the value
                    continue
                feed = {x: data for x in loss.arguments}
                names = checks(diagnose(loss, data=feed))
                planted, found = planted + 1, found + (check in names)
                harmless = check in ('transposed convolution', 'equal maxima') and (
                    not wrong_gradients(loss, feed))
                assert check in names or harmless, (check, graph.operations)
                assert names <= sound | {check} or 'transposed convolution' in sound
    return planted, found


def test_faults_planted_into_random_graphs_are_found():
    planted, found = check_planted(range(5000, 5030))
    assert planted > 50 and found > 0.95 * planted
    print('%d faults planted into random graphs, %d found; the others have no effect there' % (
        planted, found))


# Each fault is there in CNTK.

def grad(network, data, wrt):
    found = network.grad(data, wrt=wrt)
    return found if isinstance(found, dict) else {wrt[0]: found}


@pytest.mark.parametrize('make', [make for check, make in PLANTED
                                  if check in ('transposed convolution', 'equal maxima')])
def test_gradients_are_wrong(make):
    """In single precision, by more than a hundredth; central differences are right to a thousandth.
    """
    with C.default_options(dtype=np.float32):
        measured = cntk_doctor._Measured(make())
    worst = 0
    for p, gradient in measured.gradients().items():
        direction = np.random.RandomState(1).uniform(-1, 1, p.shape)
        slope = measured.difference(p, direction)
        if slope is not None and abs(slope) > 1e-2:
            worst = max(worst, abs((gradient * direction).sum() / slope - 1))
    assert worst > 0.05


def test_a_kernel_smaller_than_its_stride_has_a_wrong_gradient():
    """The output is linear in the kernel: its product with the gradient is the output."""
    x = C.input_variable((1, 9, 4))
    kernel = C.parameter((32, 1, 1, 1), init=np.linspace(1, 2, 32, dtype='f').reshape(32, 1, 1, 1))
    y = C.convolution(kernel, x, strides=3, auto_padding=[False, True, True])
    data = {x: np.random.RandomState(0).uniform(0.5, 1, (5, 1, 9, 4)).astype('f')}
    product = np.sum(grad(y, data, [kernel])[kernel] * kernel.value)
    assert abs(product / y.eval(data).sum() - 1) > 0.01


def test_a_fed_penalty_has_no_gradient():
    x, penalty = C.input_variable(3), C.input_variable(1)
    loss = L.Dense(1)(x) + 10 * penalty
    parameters, data = list(loss.parameters), np.ones((2, 3), 'f')
    found = [grad(loss, {x: data, penalty: np.full((2, 1), value, 'f')}, parameters)
             for value in (0, 1000)]
    for p in parameters:
        assert (found[0][p] == found[1][p]).all()


def test_products_softmax_and_random_numbers_are_as_said():
    v = C.input_variable(3)
    product = C.times(v, C.reshape(v, (3, 1)))
    found = product.eval({v: np.array([[1, 0, 0], [1, 2, 0]], 'f')}).ravel()
    assert found.tolist() != [1, 5]                             # what it should be
    x = C.input_variable((2, 3))
    np.testing.assert_allclose(C.softmax(x).eval({x: np.zeros((1, 2, 3), 'f')}), 1 / 6, rtol=1e-6)
    one = C.input_variable(1)
    noise = (one * C.random.uniform((1,))).eval({one: np.ones((5, 1), 'f')})
    assert len(np.unique(noise)) == 1


def test_layer_normalization_of_a_constant_has_no_gradient():
    x = C.input_variable(4, needs_gradient=True)
    network = L.LayerNormalization()(x)
    assert np.isnan(network.grad({x: np.ones((1, 4), 'f')}, wrt=[x])).all()


def test_function_grad_computes_as_in_training():
    x = C.input_variable(4, needs_gradient=True)
    normal = L.BatchNormalization()(x)
    count = next(c for c in normal.constants if c.name == 'aggregate_count')
    normal.grad({x: np.ones((6, 4), 'f')}, wrt=[x])
    assert float(count.value) == 6
    dropped = C.dropout(x, 0.5).grad({x: np.ones((50, 4), 'f')}, wrt=[x])
    assert 0 < (dropped == 0).mean() < 1


def test_a_sum_behind_stop_gradient_can_not_be_trained():
    loss = dict(PLANTED)['sum behind stop_gradient']()
    trainer = C.Trainer(loss, (loss, None), [C.sgd(loss.parameters, lr=0.1)])
    with pytest.raises(RuntimeError, match='Cannot find input'):
        trainer.train_minibatch({x: np.ones((2, 2, 8, 8), 'f') for x in loss.arguments})


@pytest.mark.parametrize('layer', [
    'C.convolution(C.parameter((8, 4, 3, 3), init=0.1), x, auto_padding=[False, True, True])',
    'C.layers.BatchNormalization(map_rank=1)(x)'])
def test_data_without_a_batch_axis_end_the_process(layer):
    code = ('import cntk as C, numpy as np\nx = C.input_variable((4, 32, 32), dynamic_axes=[])\n'
            'y = %s\nfor _ in range(30): y.eval({x: np.ones((4, 32, 32), "f")})' % layer)
    process = subprocess.run([sys.executable, '-c', code], stderr=subprocess.DEVNULL)
    assert process.returncode < 0


def test_steps_of_adam_are_divided_by_the_batch():
    for settings, divisor in (({}, 8), ({'minibatch_size': 8}, 8),
                              ({'minibatch_size': C.learners.IGNORE}, 1)):
        x = C.input_variable(3)
        loss = C.reduce_sum(C.square(L.Dense(2, init=1)(x)))
        w = loss.parameters[0]
        trainer = C.Trainer(loss, (loss, None), [C.adam(
            loss.parameters, lr=1e-3, momentum=0.9, variance_momentum=0.999, **settings)])
        before = w.value
        trainer.train_minibatch({x: np.ones((8, 3), 'f')})
        np.testing.assert_allclose(before - w.value, 1e-3 / divisor, rtol=1e-3)


# What a diagnosis leaves as it was; names.

def test_a_diagnosis_changes_nothing():
    def trained(diagnosed):
        x = C.input_variable(4)
        network = L.Sequential([L.Dense(3, init=C.normal(1, seed=1)), L.BatchNormalization(),
                                L.Dense(1, init=C.normal(1, seed=2))])(x)
        loss = C.square(network)
        learner = C.adam(loss.parameters, lr=1e-2, momentum=0.9)
        trainer = C.Trainer(network, (loss, None), [learner])
        rng = np.random.RandomState(0)
        for step in range(4):
            data = {x: rng.randn(8, 4).astype('f')}
            if diagnosed and step == 2:
                assert diagnose(loss, [learner], data)
            trainer.train_minibatch(data)
        return [v.value for v in list(network.parameters) + list(network.constants)]

    for one, other in zip(trained(False), trained(True)):
        assert (one == other).all()


def test_names_decide_nothing():
    gain = C.parameter((8,), init=1, name='scale')
    named = C.layers.BlockFunction('ConvolutionTranspose', 'LayerNormalization')(
        lambda h: C.alias(h * gain, name='fed_penalty'))
    assert diagnose(named(features())) == []
    layer = L.LayerNormalization()
    block = C.layers.BlockFunction('Sound', 'sound')(lambda h: layer(h))
    assert checks(diagnose(block(features()))) == {'layer normalisation by column'}


def test_where_names_the_node_and_the_layer():
    h = features()
    finding, = diagnose(h + L.ConvolutionTranspose2D((3, 3), 3, pad=True, name='rise')(h))
    assert 'rise (3 x 8 x 8)' in finding.where and 'Convolution' in finding.where
    assert '%' in finding.what and finding.sure == 'sure'


def test_slow_relu_is_a_switch_of_the_process():
    made = trained_by(adam, L.Dense(3, activation=C.relu)(image()))
    C.cntk_py.enable_cpueval_optimization()
    try:
        assert checks(examined(made)) == {'slow ReLU'}
    finally:
        C.cntk_py.disable_cpueval_optimization()
    assert examined(made) == []


# Mending.

@pytest.mark.parametrize('make', [
    make for check, make in PLANTED
    if check in ('transposed convolution', 'sum behind stop_gradient')] + [
    lambda: C.stop_gradient(features() + 1) * C.tanh(skip(lambda h, u: h + u))])
def test_a_mended_copy_is_right(make):
    C.cntk_py.reset_random_seed(0)          # or the weights would depend on the tests before
    network = make()
    copy = mend(network)
    assert diagnose(copy) == []
    assert {p.uid for p in copy.parameters} == {p.uid for p in network.parameters}
    assert [x.uid for x in copy.arguments] == [x.uid for x in network.arguments]
    data = cntk_doctor._feed(network)
    np.testing.assert_array_equal(network.eval(data), copy.eval(data))
    rows = cntk_doctor.evidence(network, copy)
    assert rows
    for name, _, right, expected in rows:
        assert abs(right - expected) < 0.02 * abs(expected) + 1e-3, name


def test_a_convolution_without_a_batch_axis_is_mended():
    x = image(dynamic_axes=[])
    network = L.Sequential([L.Convolution2D((3, 3), 4, pad=True), C.tanh, L.Dense(2)])(x)
    batched = image()
    expected = network.clone('share', {x: batched})
    copy, data = mend(network), np.random.RandomState(0).rand(2, 8, 8).astype('f')
    assert diagnose(copy) == []
    np.testing.assert_allclose(copy.eval({x: data}), expected.eval({batched: data[None]})[0],
                               rtol=1e-5)


def test_a_transposed_convolution_of_a_parameter_is_mended():
    start = C.parameter((2, 4, 4), init=0.1)
    network = C.reduce_sum(upsample(2)(start)) + C.reduce_sum(L.Dense(1)(image()))
    copy = mend(network)
    assert diagnose(copy) == []
    found = copy.eval({x: np.ones((3, 2, 8, 8), 'f') for x in copy.arguments})
    assert found.shape == (3,) and np.isfinite(found).all()


def test_a_loop_is_copied_with_what_is_mended():
    x = C.sequence.input_variable((2, 6, 6))
    h = C.tanh(x * C.parameter((2, 1, 1), init=0.5))
    network = L.Fold(L.LSTM(4))(h + upsample(2)(h))
    copy = mend(network)
    data = {x: [np.random.RandomState(0).rand(3, 2, 6, 6).astype('f')]}
    np.testing.assert_allclose(network.eval(data), copy.eval(data), rtol=1e-5)
    assert copy is not network and diagnose(copy) == []


def test_sound_networks_are_not_copied():
    network = L.Dense(2)(image())
    assert mend(network) is network


def test_copies_of_random_graphs_compute_the_same():
    for made in filter(None, map(random_network, range(60))):
        network, data, _ = made
        copy = Network(network).copy({})
        pairs = zip(*([f.eval({x: v for x in f.arguments for v in data.values()})]
                      for f in (network, copy)))
        for expected, found in pairs:
            same = zip(expected, found) if isinstance(expected, list) else [(expected, found)]
            assert all(np.array_equal(a, b) for a, b in same)


# The program.

@pytest.fixture
def doctor(tmp_path, monkeypatch, capfd):
    """doctor(arguments) → (exit code, what it says, the error sentence)."""
    monkeypatch.chdir(str(tmp_path))

    def call(*arguments):
        capfd.readouterr()
        code = cntk_doctor.main([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return code, out, err
    return call


def test_files(doctor):
    skip(lambda h, u: h + u).save('wrong.model')
    L.Dense(2)(image()).save('right.model')
    code, out, _ = doctor('wrong.model', 'right.model')
    assert code == 1 and 'transposed convolution (wrong result, sure)' in out
    assert 'right.model: nothing found' in out
    assert doctor('right.model')[0] == 0


def test_a_mended_file(doctor, tmp_path):
    skip(lambda h, u: h + u).save('wrong.model')
    code, out, _ = doctor('--write', 'é.model', 'wrong.model')
    assert code == 1 and 'by central differences' in out and 'written' in out
    assert doctor('é.model')[0] == 0
    assert sorted(os.listdir(str(tmp_path))) == ['wrong.model', 'é.model']
    open('as usual', 'w').close()
    assert os.stat('é.model').st_mode == os.stat('as usual').st_mode
    code, _, err = doctor('--write', 'é.model', 'wrong.model')
    assert code == 2 and 'exists already' in err


def test_nothing_to_mend(doctor, tmp_path):
    L.Dense(2)(image()).save('right.model')
    code, out, _ = doctor('--write', 'new.model', 'right.model')
    assert code == 0 and 'nothing that can be mended' in out
    assert os.listdir(str(tmp_path)) == ['right.model']


@pytest.mark.parametrize('arguments, sentence', [
    (['none.model'], 'error: none.model can not be read: No such file or directory\n'),
    (['.'], 'error: . can not be read: Is a directory\n'),
    (['text'], 'error: text is not a model that CNTK can read'),
    (['half.model'], 'error: half.model is not a model that CNTK can read'),
    (['empty'], 'error: empty is not a model that CNTK can read'),
    (['text.onnx'], 'error: text.onnx is not a model that CNTK can read'),
    (['--run', 'none.py'], 'error: there is no program none.py\n'),
    ([], 'error: give '),
    (['--write', 'x.model'], 'error: give '),
    (['--wrong'], 'error: unrecognized arguments: --wrong (--help lists all options)\n'),
    (['--write'], 'error: argument --write: expected one argument'),
    (['--write', 'x.model', 'wrong.model', 'wrong.model'], 'error: give '),
    (['--write', 'none/x.model', 'wrong.model'],
     'error: none/x.model can not be written: No such file or directory\n'),
    (['--write', 'text', 'wrong.model'], 'error: text exists already'),
    (['--run', 'bad.py'], 'error: the program bad.py fails (SyntaxError: '),
])
def test_errors_are_one_sentence(doctor, arguments, sentence):
    skip(lambda h, u: h + u).save('wrong.model')
    with open('wrong.model', 'rb') as whole, open('half.model', 'wb') as half:
        half.write(whole.read()[:300])
    for name, text in (('text', 'a text'), ('text.onnx', 'a text'), ('empty', ''),
                       ('bad.py', 'x = = 1')):
        with open(name, 'w') as file:
            file.write(text)
    code, _, err = doctor(*arguments)
    assert code == 2 and err.startswith(sentence) and err.count('\n') == 1, err


def program(*arguments, folder='.', **environment):
    process = subprocess.run(
        [sys.executable, os.path.join(ROOT, 'cntk_doctor.py')] + list(map(str, arguments)),
        cwd=str(folder), env=dict(os.environ, **environment), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return process.returncode, process.stdout.decode(), process.stderr.decode()


def script(name):
    return os.path.join(TESTS, 'programs', 'doctor_%s.py' % name)


@pytest.mark.parametrize('name, found', [
    ('wgan', {'fed penalty', 'samples mixed under a penalty', 'one random number for a batch',
              'step divided by the batch', 'beta2 for one sample', 'mode of training'}),
    ('classifier', {'layer normalisation by column', 'same initial numbers',
                    'parameter without a learner', 'slow ReLU'}),
    ('unet', {'transposed convolution', 'softmax over all numbers', 'RMSProp epsilon',
              'mode of training'}),
    ('attention', {'kernel smaller than stride', 'equal maxima', 'product summed over the batch',
                   'learner without effect', 'step divided by the batch'}),
    ('sound', set())])
def test_programs(name, found, tmp_path):
    code, out, _ = program('--run', script(name), folder=tmp_path)
    assert code == bool(found)
    assert {check for check in CHECKS if '\n  %s (' % check in out} == found
    assert name in ('classifier', 'unet', 'attention') or out.endswith('the program ends\n')


def test_a_program_ends_early_by_choice(tmp_path):
    code, out, _ = program('--end', '--run', script('wgan'), folder=tmp_path)
    assert code == 1 and 'the program ends' not in out and 'Trainer 2' not in out


def test_how_a_program_ends(tmp_path):
    assert program('--run', script('sound'), 'exit', folder=tmp_path)[0] == 5
    code, out, err = program('--run', script('sound'), 'fail', folder=tmp_path)
    assert code == 2 and 'the program ends' in out
    assert err.splitlines()[-1].startswith('error: the program ')
    assert '(ValueError: it is to fail)' in err and 'Traceback' not in err


def test_a_path_that_the_locale_lacks(tmp_path):
    code, out, _ = program('--run', script('classifier'), 'é.model', folder=tmp_path, LC_ALL='C')
    assert 'path that the locale lacks' in out
    L.Dense(2)(image()).save(str(tmp_path / 'é.model'))
    code, out, _ = program('é.model', folder=tmp_path, LC_ALL='C')
    assert code == 1 and 'path that the locale lacks' in out
