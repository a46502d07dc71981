"""wgan_generate.py, and what it shares with wgan_walk.py and wgan_export.py: options, latents,
damaged models, sizes known in advance.
"""

import io
import os
import random

import cv2
import numpy as np
import pytest

from helpers import expected_images, latents_of, read_rgb
from wgan.machine.command_line import UserError
from wgan.generators.files import load_generator
from wgan.datasets import images
from wgan.generators.latents import read_latents
import models
from wgan.generators import onnx_file as onnx_generator
import wgan_generate


@pytest.fixture
def run(untrained):
    """A run with an untrained generator."""
    return untrained


@pytest.fixture
def generate(monkeypatch, run, tmp_path):
    """Call wgan_generate.py in this process, in the folder that holds `run`."""
    monkeypatch.chdir(str(tmp_path))

    def call(*arguments):
        monkeypatch.setattr('sys.argv', ['wgan_generate.py'] + [str(a) for a in arguments])
        return wgan_generate.main()
    return call


@pytest.fixture
def no_work(monkeypatch):
    """Fail if anything is generated."""
    def fail(*_):
        raise AssertionError('it was too late')
    monkeypatch.setattr(wgan_generate, 'generated', fail)


def there(tmp_path):
    return sorted(name for name in os.listdir(str(tmp_path)) if name != 'run')


GRID, SINGLE, LATENTS = ['--out', 'x.png'], ['--out', 'x', '--count', 2], ['--save-latents', 'z']


@pytest.mark.parametrize('arguments, option', [
    (GRID + ['--latents', 'z', '--rows', 8], 'rows'),
    (GRID + ['--unique'], 'unique'),
    (SINGLE + ['--rows', 3], 'rows'),
    (SINGLE + ['--columns', 3], 'columns'),
    (SINGLE + ['--border', 0], 'border'),
    (['--out', 'x.txt', '--scale', 2], 'scale'),
    (['--out', 'x.txt', '--count', 2, '--columns', 2], 'columns'),
    (['--out', 'x.txt', '--unique', '--latents', 'z'], 'latents'),
])
def test_an_option_without_effect_is_refused(generate, no_work, tmp_path, arguments, option):
    with pytest.raises(UserError, match='--%s would have no effect' % option):
        generate('run', *arguments)
    assert there(tmp_path) == []


@pytest.mark.parametrize('arguments', [
    ['--interpolate', 3], ['--steps', 3], ['--linear'], ['--export-onnx', 'x.onnx']])
def test_options_of_other_programs(generate, no_work, tmp_path, arguments):
    with pytest.raises(UserError, match='unrecognized arguments: %s' % arguments[0]):
        generate('run', *GRID, *arguments)
    assert there(tmp_path) == []


def test_latents_are_saved_whatever_is_made(generate, tmp_path, capsys):
    (tmp_path / 'z.npy').write_text('mine')
    generate('run', *GRID, *LATENTS, '--seed', 4)
    first = np.load(str(tmp_path / 'z'))
    assert first.shape == (64, 5) and (tmp_path / 'z.npy').read_text() == 'mine'
    generate('run', '--out', 'seven', *LATENTS, '--count', 7, '--seed', 4, '--force',
             '--truncation', 0.5)
    np.testing.assert_array_equal(np.load(str(tmp_path / 'z')), first[:7] / 2)
    assert 'wrote z' in capsys.readouterr().out
    generate('run', '--out', 'y.png', '--latents', 'z', '--columns', 4)
    assert cv2.imread('y.png').shape == (64, 128, 3)
    with pytest.raises(UserError, match='z exists already'):
        generate('run', '--out', 'n.png', *LATENTS)


@pytest.mark.parametrize('arguments, said', [
    (['--out', 'x.jpg', '--columns', 2048, '--rows', 1], 'x.jpg would be 65536 × 32 pixels; .jpg'),
    (['--out', 'x.webp', '--rows', 512, '--columns', 1], '.webp allows 16383'),
    (['--out', 'x.png', '--scale', 1000, '--border', 2000], '.png allows 1000000'),
    (['--out', 'x.png', '--rows', 2147483647], '.png allows'),
    (['--out', 'x.png', '--border', 2147483647], '.png allows'),
    (['--out', 'x', '--count', 2, '--scale', 40000], '.png allows'),
    (['--out', 'x.pgm'], 'x.pgm: images are written as'),
    (['--out', 'x.gif'], 'x.gif: images are written as'),
    (['--out', 'x.jp2'], 'x.jp2'),
    (['--out', 'x'], 'not as ""'),
    (['--out', 'n' * 300 + '.png'], 'can not be written: File name too long'),
    (['--out', 'run/wgan.csv', '--count', 2], 'is not a folder'),
    (['--out', 'x.png', '--save-latents', 'x.png'], 'written twice'),
    (['--out', 'no/x.png'], 'no/x.png can not be written: the folder'),
    (['--out', 'x.png', '--latents', 'seven', '--truncation', 1e300], 'latents that are NaN'),
    (['--out', 'x', '--latents', 'seven', '--count', 6], '--count is 6, but seven holds 7 latents'),
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


def test_a_generator_of_nan(generate, run, tmp_path):
    generator = models.generator(32, latent_size=5, width=2)
    generator.parameters[0].value = np.full(generator.parameters[0].shape, np.nan, np.float32)
    generator.save(str(run / 'wgan_generator.model'))
    for arguments in (GRID, SINGLE):
        with pytest.raises(UserError, match='the generator run makes values that are NaN or '
                                            'infinite'):
            generate('run', *arguments)
    assert [name for name in there(tmp_path) if name != 'x'] == []


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['model', 'onnx'])
def test_damaged_models(run, tmp_path, kind):
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


def test_a_critic_is_no_generator(run):
    with pytest.raises(UserError, match='is a model, but no generator'):
        load_generator(str(run / 'wgan_critic.model'))


# As a user calls it

def test_grid(script, run, tmp_path):
    result = script('wgan_generate.py', run, '--out', 'grid.png', '--rows', 3, '--columns', 7,
                    '--seed', 4)
    assert result.code == 0 and 'Selected CPU' not in result.err
    plain = read_rgb(tmp_path / 'grid.png')
    assert (plain == images.grid(expected_images(run, latents_of(4, 21)), 7)).all()

    script('wgan_generate.py', run, '--out', 'large.png', '--rows', 3, '--columns', 7, '--seed', 4,
           '--border', 2, '--scale', 3)
    large = read_rgb(tmp_path / 'large.png')
    assert large.shape == (3 * (96 + 4), 3 * (224 + 12), 3)
    assert (large[:96:3, :96:3] == plain[:32, :32]).all()       # each pixel a square, no blur
    assert (large[1:97:3, 2:98:3] == plain[:32, :32]).all()
    assert (large[96:102] == 255).all() and (large[:, 96:102] == 255).all()

    script('wgan_generate.py', run, '--out', 'other.png', '--rows', 3, '--columns', 7)
    assert (read_rgb(tmp_path / 'other.png') != plain).any()


@pytest.mark.slow
def test_single_images_do_not_depend_on_the_batch(script, run, tmp_path):
    """From batches of 1, 7 and 64, from saved latents, and from the ONNX file: the same files."""
    expected = expected_images(run, latents_of(9, 20))
    common = ['--count', 20, '--seed', 9]
    script('wgan_export.py', run, '--out', 'g.onnx')
    for out, arguments in (('a', [run, '--batch-size', 1]), ('b', [run, '--batch-size', 7]),
                           ('c', [run, '--batch-size', 64, '--save-latents', 'z.npy']),
                           ('d', ['g.onnx']), ('e', [run, '--latents', 'z.npy', '--seed', 0])):
        assert script('wgan_generate.py', *(arguments[:1] + ['--out', out] + common
                                            + arguments[1:])).code == 0
        found = sorted((tmp_path / out).iterdir())
        assert [f.name for f in found] == ['%06d.png' % i for i in range(20)]
        for path, image in zip(found, expected):
            assert (read_rgb(path) == image).all(), path
    assert (np.load(str(tmp_path / 'z.npy')) == latents_of(9, 20)).all()


def test_the_averaged_generator_comes_first(script, run, tmp_path):
    average = models.generator(32, latent_size=5, width=2, seed=2)
    average.save(str(run / 'wgan_generator_average.model'))
    script('wgan_generate.py', run, '--out', 'average.png', '--rows', 1)
    script('wgan_generate.py', run / 'wgan_generator.model', '--out', 'raw.png', '--rows', 1)
    assert (read_rgb(tmp_path / 'raw.png')
            == images.grid(expected_images(run, latents_of(0, 8)), 8)).all()
    assert (read_rgb(tmp_path / 'raw.png') != read_rgb(tmp_path / 'average.png')).any()


def test_truncation(script, run, tmp_path):
    script('wgan_generate.py', run, '--out', 'g.png', '--rows', 1, '--truncation', 0.5)
    assert (read_rgb(tmp_path / 'g.png')
            == images.grid(expected_images(run, latents_of(0, 8) * np.float32(0.5)), 8)).all()


@pytest.mark.parametrize('arguments, said', [
    (['nowhere', '--out', 'x.png'], ['nowhere']),
    (['.', '--out', 'x.png'], ['wgan_generator.model', 'no model']),
    (['random.model', '--out', 'x.png'], ['cannot read random.model as a CNTK model']),
    (['random.onnx', '--out', 'x.png'], ['cannot read random.onnx as an ONNX model']),
    (['empty.model', '--out', 'x.png'], ['cannot read empty.model as a CNTK model']),
    (['cut.model', '--out', 'x.png'], ['cannot read cut.model as a CNTK model']),
    (['run/wgan_critic.model', '--out', 'x.png'], ['wgan_critic.model', 'no generator']),
    (['run', '--out', 'x.xyz'], ['x.xyz', '.png']),
    (['run', '--out', '/proc/x.png'], ['/proc/x.png']),
    (['run', '--out', 'cut.model', '--count', '2'], ['cut.model']),
    (['run', '--out', 'run', '--count', '2'], ['run', 'not empty', '--force']),
    (['run', '--out', 'x.png', '--rows', '0'], ['--rows', 'at least 1']),
    (['run', '--out', 'x', '--count', '0'], ['--count', 'at least 1']),
    (['run', '--out', 'x.png', '--latents', 'wide.npy'], ['wide.npy', '(3, 6)', '(N, 5)']),
    (['run', '--out', 'x.png', '--latents', 'nan.npy'], ['nan.npy', 'finite']),
    (['run', '--out', 'x.png', '--latents', 'text.npy'], ['text.npy', 'no .npy']),
    (['run', '--out', 'x.png', '--latents', 'empty.model'], ['empty.model', 'no .npy']),
    (['run', '--out', 'x.png', '--latents', 'gone.npy'], ['gone.npy']),
    (['run', '--out', 'there.png'], ['there.png exists already', '--force']),
    (['run'], ['--out']),
])
def test_generate_bad_input(script, run, tmp_path, arguments, said):
    noise = np.random.RandomState(0).bytes(5000)
    whole = (run / 'wgan_generator.model').read_bytes()
    for name, content in (('random.model', noise), ('random.onnx', noise), ('empty.model', b''),
                          ('cut.model', whole[:len(whole) // 2]), ('there.png', b'mine')):
        (tmp_path / name).write_bytes(content)
    np.save(str(tmp_path / 'wide.npy'), np.zeros((3, 6)))
    np.save(str(tmp_path / 'nan.npy'), np.full((3, 5), np.nan))
    np.save(str(tmp_path / 'text.npy'), np.array([['a', {}]], dtype=object))
    sentence = script('wgan_generate.py', *arguments).sentence
    for words in said:
        assert words in sentence
    assert (tmp_path / 'there.png').read_bytes() == b'mine'


def test_force(script, run, tmp_path):
    (tmp_path / 'x.png').write_bytes(b'old')
    assert script('wgan_generate.py', run, '--out', 'x.png', '--force').code == 0
    assert read_rgb(tmp_path / 'x.png').shape == (256, 256, 3)
