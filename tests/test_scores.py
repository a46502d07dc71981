"""Scores against closed forms; the resize against a table; networks in both engines."""

import json
import os
import sys

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
import pytest

from helpers import ROOT, SHARP, cntk_network, onnx_network
from wgan.machine.command_line import UserError
from wgan.machine.cntk import C
from wgan.datasets.image_decoder import decode_image
import inception_score
from wgan.scores import image_network, scoring
from wgan.scores.image_network import ImageNetwork, resize_image, scale_images
import models
from wgan.scores.distances import (
    NEIGHBOURHOOD_SCORES, Statistics, count_of_copies, frechet_distance, kernel_distance,
    neighbourhood_scores)


def statistics(features, probabilities, splits=1, batch=7):
    s = Statistics(splits)
    for i in range(0, len(features), batch):
        s.add(features[i:i + batch], probabilities[i:i + batch], range(i, len(features))[:batch])
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


def test_keys_decide_the_splits_and_what_is_kept(monkeypatch):
    """The order in which images come decides nothing, whatever the size of the batches."""
    monkeypatch.setattr('wgan.scores.distances.KEPT', 12)
    rng = np.random.RandomState(0)
    features, p = rng.randn(60, 3).astype(np.float32), np.eye(3)[np.arange(60) // 20]
    keys = rng.permutation(1000)[:60].tolist()
    found = []
    for order, batch in ((np.arange(60), 7), (rng.permutation(60), 60), (np.arange(60)[::-1], 1)):
        s = Statistics(10)
        for i in range(0, 60, batch):
            part = order[i:i + batch]
            s.add(features[part], p[part], [keys[k] for k in part])
        numbers, kept = s.selection()
        assert order[numbers].tolist() == np.argsort(keys)[:12].tolist()
        np.testing.assert_array_equal(kept, features[np.argsort(keys)[:12]])
        found.append(s.inception_score())
    assert found[0] == found[1] == found[2]
    shares = p[np.argsort(keys)].reshape(10, 6, 3).mean(axis=1)     # of the classes, in each split
    expected = [np.exp(-sum(x * np.log(x) for x in share if x)) for share in shares]
    assert found[0] == pytest.approx((np.mean(expected), np.std(expected)))


def test_keys_of_images():
    """By what they show, not by when they come; copies have different ones."""
    rng = np.random.RandomState(0)
    images = [rng.randint(0, 256, (4, 6, 3)).astype(np.uint8) for _ in range(20)]
    images += [images[0], images[0], images[1].reshape(6, 4, 3)]

    def keys_of(images):
        keys = scoring.ContentKeys()
        list(keys.noted(images))
        return keys.last
    keys = keys_of(images)
    assert len(set(keys)) == 23 and min(keys) >= 0 and max(keys) < 2 ** 64
    assert keys_of(images[::-1])[::-1][1:19] == keys[1:19]
    assert set(keys_of(images[::-1])) == set(keys)
    assert keys_of(np.stack(images[:9])[:, :, ::-1]) != keys[:9]
    assert keys_of([np.asfortranarray(image) for image in images]) == keys


ORACLE = os.path.join(os.path.dirname(ROOT), 'shared', 'oracle')


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir(ORACLE), reason='the scores of another program are not here')
def test_inception_score_of_another_program():
    """It takes contiguous splits of the files in their order; so do keys that count them."""
    network = ImageNetwork(os.path.join(ORACLE, '..', 'weights', 'googlenet_bvlc.onnx'),
                           scale='raw')
    s, images = Statistics(10), scoring.Folder(os.path.join(ORACLE, 'a'), False)
    for batch in images.batches(32):
        features, p = network(batch)
        s.add(features, p, range(s.seen, s.seen + len(p)))
    with open(os.path.join(ORACLE, 'expected.json')) as file:
        expected = json.load(file)['googlenet_bvlc']['a']
    assert s.inception_score() == pytest.approx(
        (expected['inception_score_mean'], expected['inception_score_std']), rel=1e-5)


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


@pytest.mark.slow
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
    found = [kernel_distance(rng.randn(20, 3), rng.randn(20, 3), rng)[0] for _ in range(100)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(100)


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
    image = np.zeros((len(old), len(old), 3))
    image[:, :, 0] = old                              # grows along the width
    image[:, :, 1] = np.array(old)[:, None]           # grows along the height
    resized = resize_image(image.astype(np.uint8), new, 'tensorflow1')
    np.testing.assert_allclose(resized[0], np.tile(expected, (new, 1)), atol=1e-4)
    np.testing.assert_allclose(resized[1], np.tile(expected, (new, 1)).T, atol=1e-4)


def test_scales():
    x = np.float32([0, 128, 255]).reshape(1, 3, 1, 1)
    np.testing.assert_allclose(scale_images(x, 'inception').ravel(), [-1, 0, 127 / 128])
    np.testing.assert_allclose(scale_images(x, 'raw'), x)
    np.testing.assert_allclose(scale_images(x, 'torchvision').ravel(), [
        -0.485 / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225], rtol=1e-6)


def test_engines_agree(tmp_path):
    rng = np.random.RandomState(0)
    images = [rng.randint(0, 256, (s, s, 3)).astype(np.uint8) for s in (5, 8, 20)]
    free, fixed = onnx_network(tmp_path / 'n.onnx'), onnx_network(tmp_path / 'one.onnx', batch=1)
    model = cntk_network(tmp_path / 'n.model')
    results = [ImageNetwork(path, engine, scale='raw')(images) for path, engine in (
        (free, 'onnxruntime'), (free, 'cntk'), (fixed, 'onnxruntime'), (fixed, 'cntk'),
        (model, 'cntk'))]
    for features, probabilities in results:
        assert features.shape == probabilities.shape == (3, 3)
        np.testing.assert_allclose(features, results[0][0], rtol=1e-5)
        np.testing.assert_allclose(probabilities, results[0][1], atol=1e-5)
    assert ImageNetwork(free, 'cntk').runner.at_once == 4
    assert ImageNetwork(free).engine == 'onnxruntime'
    assert ImageNetwork(free, device='gpu').engine == ImageNetwork(model).engine == 'cntk'


def test_the_file_says_how_images_are_prepared(tmp_path):
    path = onnx_network(tmp_path / 'n.onnx', resize='opencv', scale='torchvision')
    for engine in ('onnxruntime', 'cntk'):
        network = ImageNetwork(path, engine)
        assert (network.resize, network.scale) == ('opencv', 'torchvision')
    assert ImageNetwork(path, scale='raw').scale == 'raw'       # but the user decides
    network = ImageNetwork(onnx_network(tmp_path / 'n.onnx'))
    assert (network.resize, network.scale) == ('tensorflow1', 'inception')


# By the package prdc 0.2: make_neighbourhood_reference.py. Real, generated, features, shift; seeds
# 0, 1, 2, 3.
NEIGHBOURHOODS = [
    ((40, 30, 6, 0.5), (0.9333333333333333, 0.85, 1.4266666666666667, 0.975)),
    ((200, 300, 16, 0.3), (0.9166666666666666, 0.7, 1.312, 0.995)),
    ((7, 1200, 3, 0.0), (0.9991666666666666, 1.0, 1.2160000000000002, 1.0)),
    ((1100, 60, 40, 0.2), (0.9, 0.5772727272727273, 1.7733333333333334, 0.37727272727272726)),
]


def features_of(seed, real, generated, size, shift):
    rng = np.random.RandomState(seed)
    return (rng.standard_normal((real, size)).astype(np.float32),
            (shift + 0.9 * rng.standard_normal((generated, size))).astype(np.float32))


@pytest.mark.parametrize('seed', range(len(NEIGHBOURHOODS)))
def test_neighbourhood_scores_are_those_of_prdc(seed):
    about, expected = NEIGHBOURHOODS[seed]
    real, generated = features_of(seed, *about)
    found = neighbourhood_scores(generated, real)
    assert [found[name] for name in NEIGHBOURHOOD_SCORES] == pytest.approx(expected, abs=1e-9)


def test_neighbourhood_scores_closed_forms():
    a = np.random.RandomState(0).standard_normal((50, 8)).astype(np.float32)

    def scores(generated, real):
        return [neighbourhood_scores(generated, real)[name] for name in NEIGHBOURHOOD_SCORES]
    assert scores(a, a) == [1, 1, 1, 1]                                 # the same set
    assert scores(a + 1000, a) == [0, 0, 0, 0]                          # far away
    # Half of the generated ones are the real ones, half are nowhere near.
    assert scores(np.concatenate([a, a + 1000]), a) == [0.5, 1, 0.5, 1]
    # One image again and again: it is a real one, and the only one that is found.
    precision, recall, density, coverage = scores(np.tile(a[:1], (20, 1)), a)
    assert (precision, recall) == (1, 1 / 50) and density >= 0.2 and 0 < coverage < 0.5
    # Sets too small for five neighbours: those that there are.
    assert scores(a[:3], a[:3]) == scores(a[:2], a[:2]) == [1, 1, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize('size', [3, 2048])
def test_neighbourhood_scores_of_copies(size):
    """An image with five copies has a neighbourhood of one point, which it lies in itself. So do
    its copies in the other set, and nothing else: also where distances are rounded.
    """
    a = np.random.RandomState(0).gamma(0.5, 1, (30, size)).astype(np.float32)
    eight = np.repeat(a, 8, axis=0)

    def scores(generated, real):
        return [neighbourhood_scores(generated, real)[name] for name in NEIGHBOURHOOD_SCORES]
    assert scores(eight, eight) == [1, 1, 8 / 5, 1]
    assert scores(eight, np.repeat(a, 8, axis=0)[::-1] * (1 + 1e-6)) == [1, 1, 8 / 5, 1]
    assert scores(a + 0.01, eight)[0] == scores(a + 0.01, eight)[3] == 0
    assert scores(a, eight) == [1, 1, 8 / 5, 1]
    assert count_of_copies(eight) == 240
    assert count_of_copies(np.repeat(a, 5, axis=0)) == count_of_copies(a) == 0
    assert count_of_copies(np.concatenate([a, np.repeat(a[:1], 5, axis=0)])) == 6


def test_neighbourhood_scores_do_not_hang_on_the_scale():
    real, generated = features_of(1, *NEIGHBOURHOODS[1][0])
    assert neighbourhood_scores(generated, real) == neighbourhood_scores(
        1024 * generated, 1024 * real)


@pytest.mark.slow
def test_scores_of_folders(command, colours, tmp_path):
    """As a user calls it."""
    for folder, expected in (('alike', 1), ('three', 3)):
        result = command('inception_score.py', folder, '--inception', colours, '--scale', 'raw',
                         '--splits', 1, '--json', folder + '.json', '--reference', 'three')
        assert result.code == 0, result.err
        found = json.loads((tmp_path / (folder + '.json')).read_text())
        assert found['inception_score_mean'] == pytest.approx(expected, abs=1e-6)
        assert found['reference_inception_score_mean'] == pytest.approx(3, abs=1e-6)
        assert (found['count'], found['splits'], found['engine']) == (30, 1, 'onnxruntime')
        assert len(found['network_sha256']) == 64
    assert found['fid'] == pytest.approx(0, abs=1e-6)
    assert 'coverage' in found and 'precision  ' in result.out


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


def test_neighbours(script, colours, tmp_path):
    """The first column is of what was scored, of each kind; then the reference's, nearest first."""
    result = script('inception_score.py', 'three', '--inception', colours, '--scale', 'raw',
                    '--splits', 5, '--reference', 'three', '--neighbours', 'n.png')
    assert result.code == 0, result.err
    sheet = cv2.imread('n.png')
    assert sheet.shape == (12 * 16 - 4, 6 * 16 - 4, 3)
    rows = []
    for i in range(12):
        row = sheet[i * 16:i * 16 + 12].mean(axis=0)
        colours = [row[k * 16:k * 16 + 12].mean(axis=0) for k in range(6)]
        assert all(colour.max() == 200 for colour in colours)
        rows.append({colour.argmax() for colour in colours})    # ten images there are of each
    assert all(len(row) == 1 for row in rows) and set.union(*rows) == {0, 1, 2}


@pytest.mark.slow
def test_neighbours_of_a_generator(script, colours, untrained):
    """Those of its own images are these images, whatever was kept of them."""
    assert script('wgan_generate.py', 'run', '--count', 40, '--out', 'own').code == 0
    result = script('inception_score.py', 'run', '--inception', colours, '--scale', 'raw',
                    '--splits', 2, '--count', 40, '--reference', 'own', '--neighbours', 'n.png')
    assert result.code == 0, result.err
    sheet, own = cv2.imread('n.png'), {
        cv2.imread('own/%06d.png' % i).tobytes() for i in range(40)}
    for i in range(12):
        rows = sheet[i * 36:i * 36 + 32]
        np.testing.assert_array_equal(rows[:, :32], rows[:, 36:68])
        assert np.ascontiguousarray(rows[:, :32]).tobytes() in own


@pytest.mark.parametrize('arguments, said', [
    (['--neighbours', 'n.png'], ['--neighbours needs a --reference']),
    (['--neighbours', 'n.png', '--reference', 's.npz'], ['s.npz has statistics, and no images']),
    (['--neighbours', 'n.gif', '--reference', 'alike'], ['n.gif', '.png']),
    (['--neighbours', 'no/n.png', '--reference', 'alike'], ['no', 'does not exist']),
])
def test_neighbours_that_can_not_be_shown(script, colours, arguments, said):
    common = ['--inception', colours, '--splits', 5, '--scale', 'raw']
    assert script('inception_score.py', 'three', '--save-statistics', 's.npz', *common).code == 0
    sentence = script('inception_score.py', 'three', *common, *arguments).sentence
    assert all(words in sentence for words in said)
    assert not os.path.exists('n.png')


@pytest.mark.slow
def test_scores_of_a_generator(script, colours, untrained, tmp_path):
    """From the run folder and from its ONNX export: the same images, the same scores."""
    script('wgan_export.py', 'run', '--out', 'g.onnx')
    script('wgan_generate.py', 'run', '--count', 50, '--out', 'images')
    found = []
    for what in ('run', 'run/wgan_generator.model', 'g.onnx', 'images'):
        result = script('inception_score.py', what, '--inception', colours, '--count', 50,
                        '--splits', 5, '--json', 'r.json', '--scale', 'raw', '--force')
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
    (['alike', '--inception', 'n.onnx', '--splits', 31], ['30 images', '--splits 31']),
    (['alike', '--inception', 'n.onnx', '--splits', 0], ['--splits', 'at least 1']),
    (['empty', '--inception', 'n.onnx'], ['no image in the folder empty']),
    (['nowhere', '--inception', 'n.onnx'], ['nowhere does not exist; WHAT takes']),
    (['broken', '--inception', 'n.onnx'], ['1 images in broken', 'x.png', '--skip-unreadable']),
    (['alike', '--inception', 'nan.onnx'], ['nan.onnx', 'NaN or infinite']),
    (['alike', '--inception', 'n.onnx', '--reference', 'bad.npz'], ['bad.npz', 'no statistics']),
    (['alike', '--inception', 'n.onnx', '--reference', 'gone.npz'], [
        'gone.npz does not exist; --reference takes']),
])
def test_bad_input(script, colours, tmp_path, arguments, said):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'broken').mkdir()
    (tmp_path / 'broken' / 'x.png').write_bytes(b'no image')
    for name in ('bad.onnx', 'bad.npz'):
        (tmp_path / name).write_bytes(np.random.RandomState(0).bytes(3000))
    cntk_network(tmp_path / 'n.model')
    onnx_network(tmp_path / 'odd.onnx', names=('x', 'y'))
    onnx_network(tmp_path / 'late.onnx', opset=12)
    onnx_network(tmp_path / 'wide.onnx', size=(8, 16))
    onnx_network(tmp_path / 'any.onnx', size=('height', 'width'))
    onnx_network(tmp_path / 'said.onnx', resize='cubic')
    onnx_network(tmp_path / 'nan.onnx', sharp=SHARP * np.float32(np.nan))
    sentence = script('inception_score.py', *arguments).sentence
    for words in said:
        assert words in sentence


def odd_network(path, kind):
    """An ONNX file that is one, but no image classifier that can be scored with."""
    def info(name, *shape, of=TensorProto.FLOAT):
        return helper.make_tensor_value_info(name, of, shape)

    nodes = [helper.make_node('ReduceMean', ['x'], ['pool'], axes=[0, 2, 3] if kind == 'no batch'
                              else [2, 3], keepdims=0),
             helper.make_node('Identity', ['pool'], ['logits'])]
    inputs, constants = [info('x', 4 if kind == 'four' else 'b', 3, 8, 8)], []
    outputs = [info('pool', 'b', 3), info('logits', 'b', 3)]
    if kind == 'bytes':
        nodes[:1] = [helper.make_node('Cast', ['x'], ['y'], to=TensorProto.FLOAT),
                     helper.make_node('ReduceMean', ['y'], ['pool'], axes=[2, 3], keepdims=0)]
        inputs = [info('x', 'b', 3, 8, 8, of=TensorProto.UINT8)]
    elif kind == 'two':
        nodes.append(helper.make_node('Add', ['pool', 'z'], ['sum']))
        inputs, outputs = inputs + [info('z', 'b', 3)], outputs + [info('sum', 'b', 3)]
    elif kind == 'labels':
        nodes[1] = helper.make_node('ArgMax', ['pool'], ['logits'], axis=1)
        outputs[1] = info('logits', 'b', 1, of=TensorProto.INT64)
    elif kind == 'fails':
        nodes[0] = helper.make_node('Reshape', ['x', 'shape'], ['pool'])
        constants = [numpy_helper.from_array(np.array([5, 7]), 'shape')]
        outputs = [info('pool', 5, 7), info('logits', 5, 7)]
    elif kind == 'no batch':
        outputs = [info('pool', 3), info('logits', 3)]
    model = helper.make_model(helper.make_graph(nodes, 'odd', inputs, outputs, constants),
                              opset_imports=[helper.make_operatorsetid('', 9)])
    model.ir_version = 4
    onnx.save(model, str(path))
    return str(path)


@pytest.mark.parametrize('kind, said', [
    ('four', 'takes 4 images at a time'), ('bytes', r'takes tensor\(uint8\)'),
    ('two', 'has 2 inputs'), ('labels', 'logits .* is one number an image'),
    ('fails', 'can not be computed'), ('no batch', 'does not have a row of numbers for each|'
                                                   'CNTK gives other values than ONNX'),
])
@pytest.mark.parametrize('engine', ['onnxruntime', 'cntk'])
def test_networks_that_score_nothing(tmp_path, capfd, kind, said, engine):
    path = odd_network(tmp_path / 'odd.onnx', kind)
    with pytest.raises(UserError, match=said):
        ImageNetwork(path, engine)([np.zeros((9, 9, 3), np.uint8)] * 6)
    assert 'CALL STACK' not in capfd.readouterr().err


@pytest.mark.parametrize('build, said', [
    (lambda x: x + C.input_variable((3, 8, 8)), 'has 2 inputs'),
    (lambda x: C.constant(1, (3, 8, 8)), 'has 0 inputs'),
])
def test_cntk_networks_that_score_nothing(tmp_path, build, said):
    pool = C.reduce_mean(build(C.input_variable((3, 8, 8))), axis=(1, 2), keepdims=False)
    path = str(tmp_path / 'odd.model')
    C.combine([C.alias(pool, name='pool'), C.alias(pool * 2, name='logits')]).save(path)
    with pytest.raises(UserError, match=said):
        ImageNetwork(path)


def test_a_folder_is_no_network(tmp_path):
    with pytest.raises(UserError, match='it is a folder'):
        ImageNetwork(str(tmp_path))


def test_skip_unreadable(script, colours, tmp_path):
    (tmp_path / 'three' / 'x.png').write_bytes(b'no image')
    result = script('inception_score.py', 'three', '--inception', colours, '--scale', 'raw',
                    '--splits', 5, '--skip-unreadable', '--json', 'r.json')
    assert result.code == 0
    assert json.loads((tmp_path / 'r.json').read_text())['count'] == 30


@pytest.fixture
def score(colours, tmp_path, monkeypatch, capsys):
    """inception_score.py in this process: returns what it printed, or the sentence of its end."""
    monkeypatch.chdir(str(tmp_path))

    def call(*arguments):
        monkeypatch.setattr(sys, 'argv', ['inception_score.py', '--inception', colours, '--scale',
                                          'raw', '--splits', '1', *map(str, arguments)])
        capsys.readouterr()
        try:
            inception_score.main()
        except UserError as error:
            return str(error)
        except OSError as error:
            return '%s: %s' % (error.filename, error.strerror)
        return ''.join(line for line in capsys.readouterr().out.splitlines(True)
                       if ' images of ' not in line)          # how long it took
    return call


def few(folder, count):
    folder.mkdir()
    for i in range(count):
        cv2.imwrite(str(folder / ('%d.png' % i)), np.full((12, 12, 3), 50 * i, np.uint8))


def by_class(folder, names):
    """60 images, each a little other, of three colours; names: their files', colour by colour."""
    folder.mkdir()
    rng = np.random.RandomState(0)
    for i, name in enumerate(names):
        image = rng.randint(0, 20, (12, 12, 3)).astype(np.uint8)
        image[:, :, i // 20] += 200
        cv2.imwrite(str(folder / name), image)


def test_scores_are_the_same_for_any_order_of_files(script, colours, tmp_path):
    """Sorted by class each split would have one class, and the Inception Score would be 1."""
    rng = np.random.RandomState(1)
    by_class(tmp_path / 'sorted', ['%03d.png' % i for i in range(60)])
    by_class(tmp_path / 'mixed', ['%03d.png' % i for i in rng.permutation(60)])
    found = []
    for what, reference in (('sorted', 'mixed'), ('mixed', 'sorted')):
        result = script('inception_score.py', what, '--reference', reference, '--inception',
                        colours, '--scale', 'raw', '--json', 'r.json', '--force')
        assert result.code == 0, result.err
        found.append(json.loads((tmp_path / 'r.json').read_text()))
    numbers = [[f[name] for name in sorted(f) if isinstance(f[name], float)] for f in found]
    assert len(numbers[0]) >= 10 and numbers[0] == pytest.approx(numbers[1], abs=1e-9)
    for name in ('inception_score_%s', 'reference_inception_score_%s'):
        mean, deviation = (found[0][name % part] for part in ('mean', 'std'))
        assert 2.2 < mean < 3 and deviation < 0.6
    # By its definition, with the splits that the keys give.
    paths = sorted((tmp_path / 'sorted').iterdir())
    keys = scoring.ContentKeys()
    images = list(keys.noted(decode_image(str(path)) for path in paths))
    _, p = ImageNetwork(colours, scale='raw')(images)
    p = np.maximum(p[np.argsort(keys.last)].reshape(10, 6, 3), 1e-30)
    expected = np.exp((p * np.log(p / p.mean(axis=1, keepdims=True))).sum(axis=2).mean(axis=1))
    assert found[0]['inception_score_mean'] == pytest.approx(expected.mean(), rel=1e-6)
    assert found[0]['inception_score_std'] == pytest.approx(expected.std(), rel=1e-6)


def test_scores_of_copies(score, tmp_path):
    """Eight copies of each image against themselves; what their neighbourhoods miss is said."""
    (tmp_path / 'eight').mkdir()
    rng = np.random.RandomState(0)
    for i in range(10):
        image = rng.randint(0, 256, (12, 12, 3)).astype(np.uint8)
        for k in range(8):
            cv2.imwrite(str(tmp_path / 'eight' / ('%d-%d.png' % (i, k))), image)
    said = score('eight', '--reference', 'eight')
    assert [line.split()[1] for line in said.splitlines()
            if line.startswith(NEIGHBOURHOOD_SCORES)] == ['1.0000', '1.0000', '1.6000', '1.0000']
    assert said.count('warning: eight: 80 of 80 images have 5 copies or more') == 1
    by_class(tmp_path / 'single', ['%03d.png' % i for i in range(60)])
    assert 'copies' not in score('single', '--reference', 'single')


def test_sets_of_other_sizes_are_named(score, tmp_path):
    """Half of the size loses detail, which a distance then measures; statistics keep the size."""
    by_class(tmp_path / 'whole', ['%03d.png' % i for i in range(60)])
    (tmp_path / 'half').mkdir()
    for path in (tmp_path / 'whole').iterdir():
        cv2.imwrite(str(tmp_path / 'half' / path.name), cv2.resize(cv2.imread(str(path)), (6, 6)))
    warning = 'warning: the images in half are 6 pixels wide and high, those in %s 12: '
    for what, reference in (('half', 'whole'), ('whole', 'half')):
        assert warning % 'whole' in score(what, '--reference', reference)
    assert 'pixels wide' not in score('whole', '--reference', 'whole', '--save-statistics', 's')
    assert warning % 's' in score('half', '--reference', 's')
    saved = dict(np.load('s'))
    with open('before', 'wb') as file:                  # statistics without the size
        np.savez(file, **without(saved, 'side'))
    assert 'pixels wide' not in score('half', '--reference', 'before')
    assert 'FID' in score('half', '--reference', 'before')


def test_equal_sets_are_at_distance_0(score):
    for folder in ('alike', 'three'):
        printed = score(folder, '--reference', folder)
        assert [line.split()[1:] for line in printed.splitlines() if line.startswith('FID')] == [
            ['0.0000']]
    tiny = {'kid_mean': -1e-9, 'kid_std': 1e-9}
    assert inception_score.plus_minus('%.6f', tiny, 'kid') == '0.000000 ± 0.000000'


def test_engines_that_disagree(script, colours, monkeypatch):
    """An output that CNTK computes otherwise is named as such, not as missing."""
    compute = image_network._OnnxRuntime.__call__
    for shifted, said in ((0, 'output pool'), (1, 'output logits')):
        def other(self, x, names):
            values = compute(self, x, names)
            values[names.index(['pool', 'logits'][shifted])] += 1
            return values

        with monkeypatch.context() as patch:
            patch.setattr(image_network._OnnxRuntime, '__call__', other)
            sentence = script('inception_score.py', 'three', '--inception', 'n.onnx', '--scale',
                              'raw', '--engine', 'cntk').sentence
        assert ('CNTK gives other values than ONNX Runtime for the %s of the network ' % said
                in sentence and sentence.endswith('choose --engine onnxruntime'))


def test_one_image(score, tmp_path):
    few(tmp_path / 'one', 1)
    few(tmp_path / 'two', 2)
    assert 'Inception Score        1.0000' in score('one')
    for arguments in (['one', '--reference', 'alike'], ['alike', '--reference', 'one']):
        assert score(*arguments) == ('one: 1 image, and a distance (FID, KID) needs at least 2')
    assert score('one', '--save-statistics', 's') == (
        'one: 1 image, and --save-statistics needs at least 2')
    assert 'FID' in score('two', '--reference', 'two', '--batch-size', 1000)
    assert score('two', '--reference', 'two', '--splits', 3).startswith('two: 2 images')
    assert not os.path.exists('s')


@pytest.mark.parametrize('name', ['stats', 'stats.npz', 'stats.NPZ', 'a.stats'])
def test_statistics_are_written_where_they_were_asked_for(score, tmp_path, name):
    before = set(os.listdir(str(tmp_path)))
    score('three', '--save-statistics', name)
    assert set(os.listdir(str(tmp_path))) - before == {name}
    assert score('alike', '--reference', name).replace(name + ':', 'three:') == score(
        'alike', '--reference', 'three')
    assert 'holds statistics' in score(name)


def test_map_files_are_images(score, tmp_path):
    (tmp_path / 'map.txt').write_text(''.join('three/%02d.png\t0\n' % i for i in range(30)))
    assert score('alike', '--reference', 'map.txt').replace('map.txt:', 'three:') == score(
        'alike', '--reference', 'three')
    assert 'count                  30' in score('map.txt')
    (tmp_path / 'map.txt').write_text('three/gone.png\t0\n')
    assert 'map.txt, line 1: the image three/gone.png does not exist' in score('map.txt')
    assert '--reference takes one of those or a folder' in score(
        'alike', '--reference', 'three/00.png')


def test_a_run_without_its_generator_is_not_images(score, tmp_path):
    run = tmp_path / 'run'
    (run / 'samples').mkdir(parents=True)
    for path in (run / 'samples' / 'step_000001.png', run / 'losses.png'):
        cv2.imwrite(str(path), np.zeros((12, 12, 3), np.uint8))
    (run / 'config.json').write_text(
        '{"settings": {"n_critic": 5}, "versions": {"cntk": "2.7"}}')
    assert 'run is a run folder without a generator' in score('run')
    assert 'run is a run folder without a generator' in score('alike', '--reference', 'run')
    (run / 'wgan_critic.model').write_bytes(b'\0')
    assert 'run is a run folder without a generator' in score('run')
    (tmp_path / 'alike' / 'other.model').write_bytes(b'\0')         # no run for that
    assert 'count                  30' in score('alike')


def without(statistics, *names, **others):
    return {name: value for name, value in dict(statistics, **others).items() if name not in names}


@pytest.mark.parametrize('change', [
    lambda s: without(s, 'covariance'), lambda s: without(s, 'network_sha256'),
    lambda s: without(s, mean=np.zeros(4)), lambda s: without(s, mean=np.float64(1)),
    lambda s: without(s, covariance=np.zeros((3, 4))), lambda s: without(s, count=1),
    lambda s: without(s, features=np.zeros((0, 3))),
    lambda s: without(s, features=np.zeros((1, 3))),
    lambda s: without(s, mean=np.array([None] * 3)), lambda s: without(s, mean=np.array(['a'] * 3)),
    lambda s: without(s, covariance=np.full((3, 3), np.nan)),
    lambda s: without(s, features=np.full((5, 3), np.inf)),
    lambda s: without(s, count=np.arange(3)), lambda s: without(s, side=np.ones(2)),
    lambda s: without(s, side=np.array('a')),
])
def test_other_arrays_in_the_statistics(score, change):
    score('alike', '--save-statistics', 's.npz')
    np.savez('other.npz', **change(dict(np.load('s.npz'))))
    assert 'other.npz holds no statistics of this program, or is damaged' in score(
        'alike', '--reference', 'other.npz')


def test_statistics_of_other_features(score):
    score('alike', '--save-statistics', 's.npz')
    saved = dict(np.load('s.npz'))
    np.savez('other.npz', **without(saved, mean=np.zeros(5), covariance=np.eye(5),
                                    features=np.zeros((9, 5))))
    assert score('alike', '--reference', 'other.npz') == (
        'the reference has 5 features, and this network gives 3')


@pytest.mark.parametrize('spoil', [
    lambda data: data[:len(data) // 2], lambda data: data[:-1], lambda data: data[:10],
    lambda data: b'PK\3\4', lambda data: b'', lambda data: bytes(100),
    lambda data: data[:200] + bytes(50) + data[250:], lambda data: data.replace(b'descr', b'descx'),
    lambda data: data.replace(b'(3, 3)', b'(9, 9)'), lambda data: b'\x93NUMPY' + bytes(80),
])
def test_damaged_statistics(score, spoil):
    score('alike', '--save-statistics', 's.npz')
    with open('s.npz', 'rb') as file:
        data = file.read()
    with open('x.npz', 'wb') as file:
        file.write(spoil(data))
    assert 'x.npz holds no statistics' in score('alike', '--reference', 'x.npz')


def test_an_array_is_no_statistics(score):
    np.save('x.npy', np.zeros(3))
    assert 'x.npy holds no statistics' in score('alike', '--reference', 'x.npy')


def test_outputs_are_checked_before_the_work(score, tmp_path, monkeypatch):
    (tmp_path / 'old').write_text('mine')

    def measure(*_):
        raise AssertionError('the work began')

    monkeypatch.setattr(scoring, 'Statistics', measure)
    monkeypatch.setattr(inception_score, 'open_network', measure)
    for option in ('--json', '--save-statistics'):
        assert 'does not exist' in score('alike', option, 'nope/x')
        assert 'old exists already; --force' in score('alike', option, 'old')
        assert 'alike is a folder' in score('alike', option, 'alike')
    assert 'written twice' in score('alike', '--json', 'x', '--save-statistics', './x')
    assert (tmp_path / 'old').read_text() == 'mine' and not (tmp_path / 'x').exists()


def test_force(score, tmp_path):
    for name in ('s.npz', 'r.json'):
        (tmp_path / name).write_text('mine')
    score('alike', '--save-statistics', 's.npz', '--json', 'r.json', '--force')
    assert np.load('s.npz')['count'] == json.loads((tmp_path / 'r.json').read_text())['count'] == 30


def test_results_are_written_before_they_are_printed(score, tmp_path, monkeypatch):
    def fail(results):
        raise UserError('printing failed')

    monkeypatch.setattr(inception_score, 'show', fail)
    assert score('alike', '--reference', 'three', '--json', 'r.json', '--save-statistics',
                 's.npz') == 'printing failed'
    assert json.loads((tmp_path / 'r.json').read_text())['fid'] > 1000
    assert np.load('s.npz')['count'] == 30


def test_generator_of_nan(score):
    x = C.input_variable((5,))
    C.reshape(C.times(x, C.parameter((5, 3 * 16), init=np.full((5, 48), np.nan, 'f'))),
              (3, 4, 4)).save('g.model')
    assert 'g.model makes values that are NaN' in score('g.model', '--count', 3)


def test_generator_and_counts(score):
    models.generator(32, latent_size=5, width=2, seed=1).save('g.model')
    assert 'count                  1\n' in score('g.model', '--count', 1)
    assert score('g.model', '--count', 1, '--reference', 'alike') == (
        'g.model: 1 image, and a distance (FID, KID) needs at least 2')


def test_odd_names(score, tmp_path):
    name = os.fsdecode(b'caf\xe9 \n x')
    (tmp_path / 'alike').rename(tmp_path / name)
    assert 'count                  30' in score(name, '--reference', 'three')


def test_images_are_composited_and_cut_off_ones_named(score, tmp_path):
    few(tmp_path / 'pics', 3)
    noise = np.random.RandomState(0).randint(0, 256, (64, 64, 4)).astype(np.uint8)
    noise[:, :, 3] = 0
    cv2.imwrite(str(tmp_path / 'pics' / 'clear.png'), noise)
    assert (decode_image(str(tmp_path / 'pics' / 'clear.png')) == 255).all()
    data = cv2.imencode('.jpg', noise[:, :, :3])[1].tobytes()
    (tmp_path / 'pics' / 'cut.jpg').write_bytes(data[:len(data) // 2])
    assert '1 images in pics can not be read, the first is pics/cut.jpg' in score('pics')
    assert 'count                  4' in score('pics', '--skip-unreadable')


def test_images_that_vanish_while_they_are_scored(tmp_path):
    few(tmp_path / 'pics', 2)
    folder = scoring.Folder(str(tmp_path / 'pics'), False)
    (tmp_path / 'pics' / '1.png').unlink()
    with pytest.raises(UserError, match='1.png could be read at first'):
        list(next(folder.batches(5)))
