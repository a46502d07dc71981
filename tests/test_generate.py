"""wgan_generate.py: options without effect, latents, damaged models, sizes known in advance."""

import io
import json
import os
import random

import cv2
import numpy as np
import onnx
import pytest

from wgan.command_line import UserError
from wgan.generators import load_generator
from wgan.latents import read_latents
from test_tools import run                                      # noqa: F401  a fixture
import models
from wgan import onnx_generator
import wgan_generate


@pytest.fixture
def generate(monkeypatch, run, tmp_path):                       # noqa: F811
    """Call wgan_generate.py in this process, in the folder that holds `run`."""
    monkeypatch.chdir(str(tmp_path))

    def call(*arguments):
        monkeypatch.setattr('sys.argv', ['wgan_generate.py'] + [str(a) for a in arguments])
        return wgan_generate.main()
    return call


@pytest.fixture
def no_work(monkeypatch):
    """Fail if anything is generated or exported."""
    def fail(*_):
        raise AssertionError('it was too late')
    monkeypatch.setattr(wgan_generate, 'generate', fail)
    monkeypatch.setattr(onnx_generator, 'export', fail)


def there(tmp_path):
    return sorted(name for name in os.listdir(str(tmp_path)) if name != 'run')


GRID, WALK, SINGLE = ['--out', 'x.png'], ['--out', 'x.png', '--interpolate', 3], [
    '--out', 'x', '--count', 2]
ONNX, LATENTS = ['--export-onnx', 'x.onnx'], ['--save-latents', 'z']


@pytest.mark.parametrize('arguments, option', [
    (ONNX + ['--count', 3], 'count'),
    (ONNX + ['--interpolate', 3], 'interpolate'),
    (ONNX + ['--truncation', 0.5], 'truncation'),
    (ONNX + ['--latents', 'z'], 'latents'),
    (ONNX + ['--columns', 3], 'columns'),
    (ONNX + ['--scale', 3], 'scale'),
    (ONNX + LATENTS + ['--scale', 3], 'scale'),
    (LATENTS + ['--border', 3], 'border'),
    (GRID + ['--linear'], 'linear'),
    (GRID + ['--steps', 16], 'steps'),
    (GRID + ['--latents', 'z', '--rows', 8], 'rows'),
    (SINGLE + ['--rows', 3], 'rows'),
    (SINGLE + ['--columns', 3], 'columns'),
    (SINGLE + ['--border', 0], 'border'),
    (SINGLE + ['--linear'], 'linear'),
    (WALK + ['--rows', 2], 'rows'),
    (WALK + ['--columns', 2], 'columns'),
    (['--out', 'x.gif', '--interpolate', 3, '--border', 1], 'border'),
])
def test_an_option_without_effect_is_refused(generate, no_work, tmp_path, arguments, option):
    with pytest.raises(UserError, match='--%s would have no effect' % option):
        generate('run', *arguments)
    assert there(tmp_path) == []


def test_latents_are_saved_whatever_else_is_made(generate, tmp_path, capsys):
    (tmp_path / 'z.npy').write_text('mine')
    generate('run', *ONNX, *LATENTS, '--seed', 4)
    first = np.load(str(tmp_path / 'z'))
    assert first.shape == (64, 5) and (tmp_path / 'z.npy').read_text() == 'mine'
    generate('run', *LATENTS, '--count', 7, '--seed', 4, '--force', '--truncation', 0.5)
    np.testing.assert_array_equal(np.load(str(tmp_path / 'z')), first[:7] / 2)
    assert 'wrote z' in capsys.readouterr().out
    generate('run', *GRID, '--latents', 'z', '--columns', 4)
    assert cv2.imread('x.png').shape == (64, 128, 3)
    with pytest.raises(UserError, match='z exists already'):
        generate('run', *LATENTS)


@pytest.mark.parametrize('arguments, said', [
    (['--out', 'x.jpg', '--columns', 2048, '--rows', 1], 'x.jpg would be 65536 × 32 pixels; .jpg'),
    (['--out', 'x.webp', '--rows', 512, '--columns', 1], '.webp allows 16383'),
    (['--out', 'x.png', '--scale', 1000, '--border', 2000], '.png allows 1000000'),
    (['--out', 'x.png', '--rows', 2147483647], '.png allows'),
    (['--out', 'x.png', '--border', 2147483647], '.png allows'),
    (['--out', 'x.jpg', '--interpolate', 2, '--steps', 3000], '.jpg allows'),
    (['--out', 'x.gif', '--interpolate', 2, '--scale', 2048], '.gif allows 65535'),
    (['--out', 'x.mp4', '--interpolate', 2, '--scale', 256], '.mp4 allows 8191'),
    (['--out', 'x.gif', '--interpolate', 2, '--steps', 2147483647], 'more than 2 GiB'),
    (['--out', 'x', '--count', 2, '--scale', 40000], '.png allows'),
    (['--out', 'x.pgm'], 'x.pgm: images are written as'),
    (['--out', 'x.jp2'], 'x.jp2'),
    (['--out', 'x'], 'not as ""'),
    (['--out', 'n' * 300 + '.png'], 'can not be written: File name too long'),
    (['--out', 'run/wgan.csv', '--count', 2], 'is not a folder'),
    (['--out', 'x.png', '--save-latents', 'x.png'], 'written twice'),
    (['--out', 'no/x.png'], 'no/x.png can not be written: the folder'),
    (['--out', 'x.png', '--latents', 'seven', '--truncation', 1e300], 'latents that are NaN'),
    (['--out', 'x', '--latents', 'seven', '--count', 6], '--count is 6, but seven holds 7 latents'),
    (['--out', 'x.gif', '--latents', 'seven', '--interpolate', 2], '--interpolate is 2, but seven'),
])
def test_before_the_work(generate, no_work, tmp_path, arguments, said):
    with open(str(tmp_path / 'seven'), 'wb') as file:
        np.save(file, np.ones((7, 5)))
    with pytest.raises(UserError) as raised:
        generate('run', *arguments)
    assert said in str(raised.value) and there(tmp_path) == ['seven']


def test_a_folder_that_holds_files(generate, tmp_path):
    folder = tmp_path / 'x'
    folder.mkdir()
    (folder / '000000.png').write_text('mine')
    (folder / 'notes').write_text('mine')
    with pytest.raises(UserError, match='x is not empty'):
        generate('run', *SINGLE)
    assert (folder / '000000.png').read_text() == 'mine'
    (tmp_path / 'link').symlink_to('x')
    generate('run', '--out', 'link', '--count', 2, '--force')
    assert sorted(os.listdir(str(folder))) == ['000000.png', '000001.png', 'notes']
    assert (folder / 'notes').read_text() == 'mine' and cv2.imread('x/000000.png').shape[0] == 32


def npy(array, **settings):
    file = io.BytesIO()
    np.save(file, array, **settings)
    return file.getvalue()


def npz():
    file = io.BytesIO()
    np.savez(file, np.ones((2, 5)))
    return file.getvalue()


def headed(head):
    return b'\x93NUMPY\x01\x00' + len(head).to_bytes(2, 'little') + head + bytes(200)


LATENT_FILES = {
    'an npz': npz(), 'half an npz': npz()[:60], 'empty': b'', 'text': b'1 2 3 4 5\n',
    'objects': npy(np.array([[{}] * 5])), 'cut off': npy(np.ones((9, 5)))[:-8],
    'half a head': npy(np.ones((9, 5)))[:40], 'complex': npy(np.ones((2, 5), complex)),
    'ints': npy(np.ones((2, 5), int)), 'strings': npy(np.array([list('abcde')])),
    'no rows': npy(np.ones((0, 5))), 'flat': npy(np.ones(5)), 'a number': npy(np.float64(1)),
    'beyond float32': npy(np.full((2, 5), 1e300)), 'nan': npy(np.full((2, 5), np.nan)),
    'times': npy(np.zeros((2, 5), 'M8[s]')), 'records': npy(np.zeros(2, [('a', '<f4', 5)])),
    'terabytes': headed(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 5)}"),
    'overflow': headed(b"{'descr': '<f4', 'fortran_order': False, 'shape': (%s, 5)}" % (b'9' * 99)),
    'negative': headed(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 5)}"),
    'true': headed(b"{'descr': '<f4', 'fortran_order': False, 'shape': (True, 5)}"),
    'no type': headed(b"{'descr': 'x', 'fortran_order': False, 'shape': (2, 5)}"),
    'nested': headed(b'[' * 200), 'unclosed': headed(b'('), 'indented': headed(b'  x\n y'),
}


@pytest.mark.parametrize('kind', sorted(LATENT_FILES))
def test_latents_that_are_none(tmp_path, kind):
    (tmp_path / 'z').write_bytes(LATENT_FILES[kind])
    with pytest.raises(UserError, match=str(tmp_path / 'z')):
        read_latents(str(tmp_path / 'z'), 5)


def test_latents_from_what_is_no_file(tmp_path):
    os.mkfifo(str(tmp_path / 'fifo'))
    for name, said in (('fifo', 'not a regular file'), ('.', 'not a regular file'),
                       ('gone', 'does not exist')):
        with pytest.raises(UserError, match=said):
            read_latents(str(tmp_path / name), 5)


@pytest.mark.parametrize('kind', ['<f2', '<f4', '>f8', '<f8'])
def test_latents_of_any_precision(tmp_path, kind):
    expected = np.arange(10).reshape(2, 5)
    for array in (expected.astype(kind), np.asfortranarray(expected.astype(kind))):
        (tmp_path / 'z').write_bytes(npy(array))
        found = read_latents(str(tmp_path / 'z'), 5)
        assert found.dtype == np.float32 and (found == expected).all()


@pytest.mark.parametrize('content', [
    b'[1]', b'', b'{"settings"', b'{"seed": 3}', b'\xff\xfe{}', b'null', b'"settings"', b'3',
    b'[' * 100000])
def test_a_damaged_configuration_beside_a_model(generate, no_work, run, tmp_path,  # noqa: F811
                                                content):
    (run / 'config.json').write_bytes(content)
    with pytest.raises(UserError, match='run/config.json is not, or no longer, what training'):
        generate('run', *ONNX)
    assert there(tmp_path) == []


def test_what_an_onnx_file_is_named_after(generate, run, tmp_path):     # noqa: F811
    name = os.fsdecode(b'\xff\xce\xbb.model')
    os.rename(str(run / 'wgan_generator.model'), str(run / name))
    generate(os.path.join('run', name), *ONNX)
    metadata = {p.key: p.value for p in onnx.load(str(tmp_path / 'x.onnx')).metadata_props}
    assert metadata['name'] == "'\\udcff\\u03bb.model'"
    assert json.loads(metadata['training'])['settings']['seed'] == 3


def test_a_generator_of_nan(generate, run, tmp_path):                   # noqa: F811
    generator = models.generator(32, latent_size=5, width=2)
    generator.parameters[0].value = np.full(generator.parameters[0].shape, np.nan, np.float32)
    generator.save(str(run / 'wgan_generator.model'))
    for arguments in (GRID, SINGLE, ['--out', 'x.gif', '--interpolate', 2]):
        with pytest.raises(UserError, match='the generator in run makes images of something'):
            generate('run', *arguments)
    assert [name for name in there(tmp_path) if name != 'x'] == []


@pytest.mark.parametrize('kind', ['model', 'onnx'])
def test_damaged_models(run, tmp_path, kind):                           # noqa: F811
    """Bytes changed at random: it loads, or a sentence says that it can't; CNTK crashes on some."""
    if kind == 'onnx':
        onnx_generator.export(load_generator(str(run / 'wgan_generator.model')),
                              str(tmp_path / 'g.onnx'), {})
    whole = (run / 'wgan_generator.model' if kind == 'model' else tmp_path / 'g.onnx').read_bytes()
    path, sentences = tmp_path / ('x.' + kind), []
    for seed in range(80):
        rng, damaged = random.Random(seed), bytearray(whole)
        if seed % 8:
            damaged[rng.randrange(len(whole) if seed % 2 else 3000)] = rng.randrange(256)
        else:
            del damaged[rng.randrange(len(whole)):]
        path.write_bytes(damaged)
        try:
            load_generator(str(path))
        except UserError as error:
            sentences.append(str(error))
    assert len(sentences) > 20 and all(str(path) in sentence for sentence in sentences)
    if kind == 'model':
        assert any('CNTK crashes when it reads it' in sentence for sentence in sentences)


def test_a_critic_is_no_generator(run):                                 # noqa: F811
    with pytest.raises(UserError, match='is a model, but no generator'):
        load_generator(str(run / 'wgan_critic.model'))
