"""Scores against closed forms; the resize against a table; networks in both engines."""

import json

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
import pytest

from quiet_cntk import C
from image_network import ImageNetwork, resize_picture, scale_pictures
import models
from scores import Statistics, frechet_distance, kernel_distance


def statistics(features, probabilities, splits=1, batch=7):
    s = Statistics(len(features), splits, np.random.RandomState(0))
    for i in range(0, len(features), batch):
        s.add(features[i:i + batch], probabilities[i:i + batch])
    return s


def test_inception_score_closed_forms():
    features = np.zeros((60, 2))
    alike = np.tile([0.2, 0.5, 0.3], (60, 1))
    assert statistics(features, alike, 10).inception_score() == pytest.approx((1, 0), abs=1e-12)
    # One-hot, and each of K classes equally often in each split: K.
    balanced = np.eye(3)[np.arange(60) % 3]
    assert statistics(features, balanced, 10).inception_score() == pytest.approx((3, 0), abs=1e-12)
    # Half of the splits are of one class (1), half of two in equal parts (2).
    mixed = np.eye(2)[np.where(np.arange(60) < 30, 0, np.arange(60) % 2)]
    assert statistics(features, mixed, 2).inception_score() == pytest.approx((1.5, 0.5), abs=1e-12)


def test_inception_score_equals_its_definition():
    """Splits of unequal size, against the mean divergence written out."""
    rng = np.random.RandomState(0)
    p = rng.dirichlet(np.ones(5), 47)
    scores = []
    for s in range(10):
        part = p[s * 47 // 10:(s + 1) * 47 // 10]
        scores.append(np.exp(np.mean([(x * np.log(x / part.mean(0))).sum() for x in part])))
    expected = np.mean(scores), np.std(scores)
    assert statistics(np.zeros((47, 1)), p, 10).inception_score() == pytest.approx(expected)


def test_moments_do_not_cancel():
    features = np.random.RandomState(0).randn(100, 4) + 1e6
    s = statistics(features, np.ones((100, 1)))
    np.testing.assert_allclose(s.mean, features.mean(0), rtol=1e-14)
    np.testing.assert_allclose(s.covariance, np.cov(features, rowvar=False), rtol=1e-9)


def test_frechet_distance_closed_forms():
    rng = np.random.RandomState(0)
    a, b, m = rng.rand(5), rng.rand(5), rng.randn(2, 5)
    # Covariances that commute: ‖μa − μb‖² + Σ(√a − √b)².
    rotation, _ = np.linalg.qr(rng.randn(5, 5))
    found = frechet_distance(m[0], (rotation * a) @ rotation.T, m[1], (rotation * b) @ rotation.T)
    expected = np.square(m[0] - m[1]).sum() + np.square(np.sqrt(a) - np.sqrt(b)).sum()
    assert found == pytest.approx(expected, rel=1e-12)
    # Singular ones, and one that is zero: the trace of the other.
    singular = np.outer(m[0], m[0])
    assert frechet_distance(m[0], singular, m[0], singular) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(m[0], singular, m[0], 0 * singular) == pytest.approx(np.trace(singular))


def test_kernel_distance():
    rng = np.random.RandomState(0)
    a, b = rng.randn(40, 3), rng.randn(40, 3) + 0.5

    def mmd(x, y):                          # the definition, pair by pair
        def k(u, v):
            return (u @ v / 3 + 1) ** 3
        n = len(x)
        within = sum(k(x[i], x[j]) + k(y[i], y[j]) for i in range(n) for j in range(n) if i != j)
        return within / (n * (n - 1)) - 2 * np.mean([k(u, v) for u in x for v in y])

    mean, deviation = kernel_distance(a, b, np.random.RandomState(0))
    assert mean == pytest.approx(mmd(a, b), rel=1e-10) and deviation == pytest.approx(0, abs=1e-9)
    # Unbiased: over many pairs of equal distribution the mean is 0, within its own error.
    found = [kernel_distance(rng.randn(20, 3), rng.randn(20, 3), rng)[0] for _ in range(300)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(300)


@pytest.mark.parametrize('old, new, expected', [
    # Output pixel i comes from input position i · old / new, worked out by hand.
    ([0, 10], 4, [0, 5, 10, 10]),
    ([0, 10, 20, 30], 2, [0, 20]),
    ([0, 10, 40], 2, [0, 25]),
    ([0, 9, 30, 60, 90], 3, [0, 23, 70]),
    ([0, 6, 12], 5, [0, 3.6, 7.2, 10.8, 12]),
    ([7], 3, [7, 7, 7]),
])
def test_tensorflow1_resize(old, new, expected):
    picture = np.zeros((len(old), len(old), 3))
    picture[:, :, 0] = old                              # grows along the width
    picture[:, :, 1] = np.array(old)[:, None]           # grows along the height
    resized = resize_picture(picture.astype(np.uint8), new, 'tensorflow1')
    np.testing.assert_allclose(resized[0], np.tile(expected, (new, 1)), atol=1e-4)
    np.testing.assert_allclose(resized[1], np.tile(expected, (new, 1)).T, atol=1e-4)


def test_scales():
    x = np.float32([0, 128, 255]).reshape(1, 3, 1, 1)
    np.testing.assert_allclose(scale_pictures(x, 'inception').ravel(), [-1, 0, 127 / 128])
    np.testing.assert_allclose(scale_pictures(x, 'raw'), x)
    np.testing.assert_allclose(scale_pictures(x, 'torchvision').ravel(), [
        -0.485 / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225], rtol=1e-6)


SHARP = 0.5 * np.eye(3, dtype=np.float32)               # logits of ±64 apart: one-hot


def onnx_network(path, batch='batch', opset=9, names=('pool', 'logits'), size=(8, 8), **metadata):
    """Mean colour as features; the same, sharpened, as logits of three classes.

    batch: 1 makes a network that takes one picture, and can't take more. opset: from 11 on, with
    an operation that CNTK does not know.
    """
    def info(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, (batch,) + shape)

    flatten = (helper.make_node('Reshape', ['mean', 'one'], [names[0]]) if batch == 1
               else helper.make_node('Flatten', ['mean'], [names[0]], axis=1))
    first = 'Identity' if opset < 11 else 'Round'
    graph = helper.make_graph(
        [helper.make_node(first, ['image'], ['same']),
         helper.make_node('GlobalAveragePool', ['same'], ['mean']), flatten,
         helper.make_node('MatMul', [names[0], 'W'], [names[1]])], 'network',
        [info('image', 3, *size)], [info(names[0], 3), info(names[1], 3)],
        [numpy_helper.from_array(SHARP, 'W'), numpy_helper.from_array(np.array([1, 3]), 'one')])
    model = helper.make_model(graph, opset_imports=[helper.make_operatorsetid('', opset)])
    model.ir_version = 4
    helper.set_model_props(model, metadata)
    onnx.save(model, str(path))
    return str(path)


def cntk_network(path):
    x = C.input_variable((3, 8, 8))
    pool = C.reduce_mean(x, axis=(1, 2), keepdims=False)
    C.combine([C.alias(pool, name='pool'), C.alias(C.times(pool, SHARP), name='logits')]).save(
        str(path))
    return str(path)


def test_engines_agree(tmp_path):
    rng = np.random.RandomState(0)
    pictures = [rng.randint(0, 256, (s, s, 3)).astype(np.uint8) for s in (5, 8, 20)]
    free, fixed = onnx_network(tmp_path / 'n.onnx'), onnx_network(tmp_path / 'one.onnx', batch=1)
    model = cntk_network(tmp_path / 'n.model')
    results = [ImageNetwork(path, engine, scale='raw')(pictures) for path, engine in (
        (free, 'onnxruntime'), (free, 'cntk'), (fixed, 'onnxruntime'), (fixed, 'cntk'),
        (model, 'cntk'))]
    for features, probabilities in results:
        assert features.shape == probabilities.shape == (3, 3)
        np.testing.assert_allclose(features, results[0][0], rtol=1e-5)
        np.testing.assert_allclose(probabilities, results[0][1], atol=1e-5)
    assert ImageNetwork(free, 'cntk').runner.at_once == 4
    assert ImageNetwork(free).engine == 'onnxruntime'
    assert ImageNetwork(free, device='gpu').engine == ImageNetwork(model).engine == 'cntk'


def test_the_file_says_how_pictures_are_prepared(tmp_path):
    path = onnx_network(tmp_path / 'n.onnx', resize='opencv', scale='torchvision')
    for engine in ('onnxruntime', 'cntk'):
        network = ImageNetwork(path, engine)
        assert (network.resize, network.scale) == ('opencv', 'torchvision')
    assert ImageNetwork(path, scale='raw').scale == 'raw'       # but the user decides
    network = ImageNetwork(onnx_network(tmp_path / 'n.onnx'))
    assert (network.resize, network.scale) == ('tensorflow1', 'inception')


@pytest.fixture
def colours(tmp_path):
    """Folders: ten pictures of one colour; ten each of red, green and blue, in turn."""
    for folder, count in (('alike', 1), ('three', 3)):
        (tmp_path / folder).mkdir()
        for i in range(30):
            picture = np.zeros((12, 12, 3), np.uint8)
            picture[:, :, 2 - i % count] = 200
            cv2.imwrite(str(tmp_path / folder / ('%02d.png' % i)), picture)
    return onnx_network(tmp_path / 'n.onnx')


def test_scores_of_folders(script, colours, tmp_path):
    for folder, expected in (('alike', 1), ('three', 3)):
        result = script('inception_score.py', folder, '--inception', colours, '--scale', 'raw',
                        '--splits', 5, '--json', folder + '.json', '--reference', 'three')
        assert result.code == 0, result.err
        found = json.loads((tmp_path / (folder + '.json')).read_text())
        assert found['inception_score_mean'] == pytest.approx(expected, abs=1e-6)
        assert found['reference_inception_score_mean'] == pytest.approx(3, abs=1e-6)
        assert (found['count'], found['splits'], found['engine']) == (30, 5, 'onnxruntime')
        assert len(found['network_sha256']) == 64
    assert found['fid'] == pytest.approx(0, abs=1e-6)


def test_saved_statistics(script, colours, tmp_path):
    common = ['--inception', colours, '--splits', 5]
    script('inception_score.py', 'three', '--scale', 'raw', '--save-statistics', 's.npz', *common)
    script('inception_score.py', 'alike', '--scale', 'raw', '--reference', 's.npz', '--json',
           'a.json', *common)
    script('inception_score.py', 'alike', '--scale', 'raw', '--reference', 'three', '--json',
           'b.json', *common)
    a, b = (json.loads((tmp_path / n).read_text()) for n in ('a.json', 'b.json'))
    assert a['fid'] == b['fid'] > 1000 and a['kid_mean'] == b['kid_mean']
    assert 'another scale (raw, here inception)' in script(
        'inception_score.py', 'alike', '--reference', 's.npz', *common).sentence
    other = onnx_network(tmp_path / 'other.onnx', names=('pool', 'prob'))
    assert 'another network_sha256' in script(
        'inception_score.py', 'alike', '--scale', 'raw', '--reference', 's.npz', '--inception',
        other).sentence


def test_scores_of_a_generator(script, colours, tmp_path):
    """From the run folder and from its ONNX export: the same pictures, the same scores."""
    (tmp_path / 'run').mkdir()
    generator = models.generator(32, latent_size=5, width=2, seed=1)
    models.evaluate_in_training(generator, {
        generator.arguments[0]: np.random.RandomState(0).randn(64, 5).astype('f')})
    generator.save(str(tmp_path / 'run' / 'wgan_generator.model'))
    script('wgan_generate.py', 'run', '--export-onnx', 'g.onnx')
    script('wgan_generate.py', 'run', '--count', 50, '--out', 'pictures')
    found = []
    for what in ('run', 'run/wgan_generator.model', 'g.onnx', 'pictures'):
        result = script('inception_score.py', what, '--inception', colours, '--count', 50,
                        '--splits', 5, '--json', 'r.json', '--scale', 'raw')
        assert result.code == 0, result.err
        found.append(json.loads((tmp_path / 'r.json').read_text())['inception_score_mean'])
    assert found[1:] == [pytest.approx(found[0], rel=1e-6)] * 3


@pytest.mark.parametrize('arguments, said', [
    (['alike', '--inception', 'gone.onnx'], ['no network gone.onnx']),
    (['alike', '--inception', 'alike/00.png'], ['CNTK can not read', '00.png']),
    (['alike', '--inception', 'bad.onnx'], ['bad.onnx', 'ONNX Runtime can read']),
    (['alike', '--inception', 'late.onnx', '--engine', 'cntk'], [
        'late.onnx', 'opset 9', 'opset 12', '--engine onnxruntime']),
    (['alike', '--inception', 'wide.onnx'], ['wide.onnx', '(3, 8, 16)', '(3, S, S)']),
    (['alike', '--inception', 'any.onnx'], ['any.onnx', "'height'", '(3, S, S)']),
    (['alike', '--inception', 'said.onnx'], ['said.onnx', 'cubic', '--resize']),
    (['alike', '--inception', 'n.model', '--engine', 'onnxruntime'], ['n.model', 'ONNX file']),
    (['alike', '--inception', 'odd.onnx'], ['has x, y', '--features-output']),
    (['alike', '--inception', 'n.onnx', '--classes-output', 'z'], ['no output z', 'pool, logits']),
    (['alike', '--inception', 'n.onnx', '--splits', 31], ['30 pictures', '--splits 31']),
    (['alike', '--inception', 'n.onnx', '--splits', 0], ['--splits', 'at least 1']),
    (['empty', '--inception', 'n.onnx'], ['no picture in the folder empty']),
    (['nowhere', '--inception', 'n.onnx'], ['nowhere']),
    (['broken', '--inception', 'n.onnx'], ['1 pictures in broken', 'x.png', '--skip-unreadable']),
    (['alike', '--inception', 'nan.onnx'], ['nan.onnx', 'no number']),
    (['alike', '--inception', 'n.onnx', '--reference', 'bad.npz'], ['bad.npz', 'no statistics']),
    (['alike', '--inception', 'n.onnx', '--reference', 'gone.npz'], ['gone.npz']),
])
def test_bad_input(script, colours, tmp_path, monkeypatch, arguments, said):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'broken').mkdir()
    (tmp_path / 'broken' / 'x.png').write_bytes(b'no picture')
    for name in ('bad.onnx', 'bad.npz'):
        (tmp_path / name).write_bytes(np.random.RandomState(0).bytes(3000))
    cntk_network(tmp_path / 'n.model')
    onnx_network(tmp_path / 'odd.onnx', names=('x', 'y'))
    onnx_network(tmp_path / 'late.onnx', opset=12)
    onnx_network(tmp_path / 'wide.onnx', size=(8, 16))
    onnx_network(tmp_path / 'any.onnx', size=('height', 'width'))
    onnx_network(tmp_path / 'said.onnx', resize='cubic')
    monkeypatch.setitem(globals(), 'SHARP', SHARP * np.float32(np.nan))
    onnx_network(tmp_path / 'nan.onnx')
    sentence = script('inception_score.py', *arguments).sentence
    for words in said:
        assert words in sentence


def test_skip_unreadable(script, colours, tmp_path):
    (tmp_path / 'three' / 'x.png').write_bytes(b'no picture')
    result = script('inception_score.py', 'three', '--inception', colours, '--scale', 'raw',
                    '--splits', 5, '--skip-unreadable', '--json', 'r.json')
    assert result.code == 0
    assert json.loads((tmp_path / 'r.json').read_text())['count'] == 30
