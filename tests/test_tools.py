"""wgan_generate.py, wgan_animate.py, plot_losses.py and data/draw_faces.py as a user runs them."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import onnx
import onnxruntime
from PIL import Image
import pytest

from wgan.animation import animate_samples
from wgan.command_line import UserError
from helpers import ROOT
from wgan.cntk import C
from wgan import images as module
from wgan.evaluation import evaluate_in_training, generate
import models
from wgan_generate import walk


@pytest.fixture
def run(tmp_path):
    """A run folder with an untrained generator and critic, a CSV, and four sample grids."""
    folder = tmp_path / 'run'
    (folder / 'samples').mkdir(parents=True)
    generator = models.generator(32, latent_size=5, width=2, seed=1)
    evaluate_in_training(generator, {
        generator.arguments[0]: np.random.RandomState(0).randn(64, 5).astype('f')})
    generator.save(str(folder / 'wgan_generator.model'))
    models.critic(32, width=2).save(str(folder / 'wgan_critic.model'))
    (folder / 'wgan.csv').write_text('step,G_loss,C_loss,GP,wasserstein,grad_norm,seconds\n'
                                     '1,0.5,-1,0.01,1.1,1.05,0.2\n2,0.6,-2,0.02,2.2,1.1,0.2\n')
    (folder / 'config.json').write_text('{"settings": {"seed": 3}}')
    for step in (5, 10, 15, 20):
        sheet = np.full((1000, 1000, 3), 10 * step, np.uint8)
        sheet[:, :, 0] = 255                                    # a red hue, as RGB
        module.write_image(str(folder / 'samples' / ('step_%06d.png' % step)), sheet)
    return folder


def read(path):
    """An image file as RGB."""
    return cv2.imread(str(path))[:, :, ::-1]


def expected_images(run, latents):
    generator = C.Function.load(str(run / 'wgan_generator.model'))
    return module.to_images(generate(generator, latents, len(latents)))


def latents_of(seed, count):
    return np.random.RandomState(seed).standard_normal((count, 5)).astype(np.float32)


def test_grid(script, run, tmp_path):
    result = script('wgan_generate.py', run, '--out', 'grid.png', '--rows', 3, '--columns', 7,
                    '--seed', 4)
    assert result.code == 0 and 'Selected CPU' not in result.err
    plain = read(tmp_path / 'grid.png')
    assert (plain == module.grid(expected_images(run, latents_of(4, 21)), 7)).all()

    script('wgan_generate.py', run, '--out', 'large.png', '--rows', 3, '--columns', 7, '--seed', 4,
           '--border', 2, '--scale', 3)
    large = read(tmp_path / 'large.png')
    assert large.shape == (3 * (96 + 4), 3 * (224 + 12), 3)
    assert (large[:96:3, :96:3] == plain[:32, :32]).all()       # each pixel a square, no blur
    assert (large[1:97:3, 2:98:3] == plain[:32, :32]).all()
    assert (large[96:102] == 255).all() and (large[:, 96:102] == 255).all()

    script('wgan_generate.py', run, '--out', 'other.png', '--rows', 3, '--columns', 7)
    assert (read(tmp_path / 'other.png') != plain).any()


def test_single_images_do_not_depend_on_the_batch(script, run, tmp_path):
    """From batches of 1, 7 and 64, from saved latents, and from the ONNX file: the same files."""
    expected = expected_images(run, latents_of(9, 20))
    common = ['--count', 20, '--seed', 9]
    script('wgan_generate.py', run, '--export-onnx', 'g.onnx')
    for out, arguments in (('a', [run, '--batch-size', 1]), ('b', [run, '--batch-size', 7]),
                           ('c', [run, '--batch-size', 64, '--save-latents', 'z.npy']),
                           ('d', ['g.onnx']), ('e', [run, '--latents', 'z.npy', '--seed', 0])):
        assert script('wgan_generate.py', *(arguments[:1] + ['--out', out] + common
                                            + arguments[1:])).code == 0
        found = sorted((tmp_path / out).iterdir())
        assert [f.name for f in found] == ['%06d.png' % i for i in range(20)]
        for path, image in zip(found, expected):
            assert (read(path) == image).all(), path
    assert (np.load(str(tmp_path / 'z.npy')) == latents_of(9, 20)).all()


def test_the_averaged_generator_comes_first(script, run, tmp_path):
    average = models.generator(32, latent_size=5, width=2, seed=2)
    average.save(str(run / 'wgan_generator_average.model'))
    script('wgan_generate.py', run, '--out', 'average.png', '--rows', 1)
    script('wgan_generate.py', run / 'wgan_generator.model', '--out', 'raw.png', '--rows', 1)
    assert (read(tmp_path / 'raw.png')
            == module.grid(expected_images(run, latents_of(0, 8)), 8)).all()
    assert (read(tmp_path / 'raw.png') != read(tmp_path / 'average.png')).any()


def test_truncation(script, run, tmp_path):
    script('wgan_generate.py', run, '--out', 'g.png', '--rows', 1, '--truncation', 0.5)
    assert (read(tmp_path / 'g.png')
            == module.grid(expected_images(run, latents_of(0, 8) * np.float32(0.5)), 8)).all()


def test_walk():
    """Spherical: the angle grows evenly, the length does not dip. Closed: no stop, no repeat."""
    a, b = np.float32([[3, 0, 0], [0, 3, 0]])
    leg, = walk(np.stack([a, b]), 5, linear=False, closed=False)
    np.testing.assert_allclose(np.linalg.norm(leg, axis=1), 3, rtol=1e-6)
    angles = np.degrees(np.arctan2(leg[:, 1], leg[:, 0]))
    np.testing.assert_allclose(angles, [0, 22.5, 45, 67.5, 90], atol=1e-4)
    leg, = walk(np.stack([a, b]), 3, linear=True, closed=False)
    np.testing.assert_allclose(leg[1], [1.5, 1.5, 0])
    leg, = walk(np.stack([a, -a]), 3, linear=False, closed=False)    # opposite: no sphere to take
    assert np.isfinite(leg).all()

    loop = walk(np.random.RandomState(0).randn(4, 100).astype('f'), 6, linear=False, closed=True)
    assert loop.shape == (4, 6, 100)
    path = loop.reshape(24, 100)
    jumps = np.linalg.norm(np.roll(path, -1, axis=0) - path, axis=1).reshape(4, 6)
    assert (jumps > 0).all() and jumps.max() < 1.5 * jumps.min()


def test_interpolation_strip_and_loop(script, run, tmp_path):
    common = ['--interpolate', 3, '--steps', 4, '--seed', 2]
    assert script('wgan_generate.py', run, '--out', 'strip.png', *common).code == 0
    strip, ends = read(tmp_path / 'strip.png'), expected_images(run, latents_of(2, 3))
    assert strip.shape == (2 * 32, 4 * 32, 3)
    assert np.abs(strip[:32, :32].astype(int) - ends[0]).max() <= 1
    assert np.abs(strip[:32, -32:].astype(int) - ends[1]).max() <= 1
    assert np.abs(strip[32:, -32:].astype(int) - ends[2]).max() <= 1

    assert script('wgan_generate.py', run, '--out', 'loop.gif', '--scale', 2, *common).code == 0
    loop = Image.open(str(tmp_path / 'loop.gif'))
    assert loop.size == (64, 64) and loop.info['loop'] == 0 and loop.n_frames == 12
    first = np.asarray(loop.convert('RGB'))[::2, ::2].astype(int)
    assert np.abs(first - ends[0]).mean() < 8                   # 256 colours, not all

    assert script('wgan_generate.py', run, '--out', 'loop.mp4', '--scale', 2, *common).code == 0
    video = cv2.VideoCapture(str(tmp_path / 'loop.mp4'))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 12 and video.read()[1].shape == (64, 64, 3)


def test_onnx_in_onnx_runtime(script, run, tmp_path):
    result = script('wgan_generate.py', run, '--export-onnx', 'g.onnx')
    assert result.code == 0 and 'differs from CNTK by at most' in result.out
    model = onnx.load(str(tmp_path / 'g.onnx'))
    assert model.opset_import[0].version == 9
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == 'batch'
    metadata = {p.key: p.value for p in model.metadata_props}
    assert metadata['output'] == 'RGB, -1 to 1'
    assert json.loads(metadata['training'])['settings']['seed'] == 3
    session = onnxruntime.InferenceSession(str(tmp_path / 'g.onnx'))
    generator = C.Function.load(str(run / 'wgan_generator.model'))
    for count in (1, 64):
        latents = latents_of(0, count)
        image, = session.run(['image'], {'latent': latents})
        assert image.shape == (count, 3, 32, 32)
        assert np.abs(image - generate(generator, latents, count)).max() < 1e-5


@pytest.mark.parametrize('arguments, said', [
    (['nowhere', '--out', 'x.png'], ['nowhere']),
    (['.', '--out', 'x.png'], ['wgan_generator.model', 'no model']),
    (['random.model', '--out', 'x.png'], ['random.model is no CNTK model']),
    (['random.onnx', '--out', 'x.png'], ['random.onnx is no ONNX model']),
    (['empty.model', '--out', 'x.png'], ['empty.model is no CNTK model']),
    (['cut.model', '--out', 'x.png'], ['cut.model is no CNTK model']),
    (['run/wgan_critic.model', '--out', 'x.png'], ['wgan_critic.model', 'no generator']),
    (['run', '--out', 'x.xyz'], ['x.xyz', '.png']),
    (['run', '--out', '/proc/x.png'], ['/proc/x.png']),
    (['run', '--out', '/proc/x.gif', '--interpolate', '2'], ['/proc/x.gif']),
    (['run', '--out', '/proc/x.mp4', '--interpolate', '2'], ['/proc/x.mp4']),
    (['run', '--out', 'cut.model', '--count', '2'], ['cut.model']),
    (['run', '--out', 'run', '--count', '2'], ['run', 'not empty', '--force']),
    (['run', '--out', 'x.png', '--rows', '0'], ['--rows', 'at least 1']),
    (['run', '--out', 'x', '--count', '0'], ['--count', 'at least 1']),
    (['run', '--out', 'x.png', '--interpolate', '1'], ['--interpolate', 'at least 2']),
    (['run', '--out', 'x.gif'], ['x.gif', '--interpolate']),
    (['run', '--out', 'x', '--count', '2', '--interpolate', '2'], ['exclude each other']),
    (['run', '--out', 'x.png', '--latents', 'wide.npy'], ['wide.npy', '(3, 6)', '(N, 5)']),
    (['run', '--out', 'x.png', '--latents', 'nan.npy'], ['nan.npy', 'finite']),
    (['run', '--out', 'x.png', '--latents', 'text.npy'], ['text.npy', 'no .npy']),
    (['run', '--out', 'x.png', '--latents', 'empty.model'], ['empty.model', 'no .npy']),
    (['run', '--out', 'x.png', '--latents', 'gone.npy'], ['gone.npy']),
    (['run', '--out', 'there.png'], ['there.png exists already', '--force']),
    (['run', '--export-onnx', 'there.png'], ['there.png exists already', '--force']),
    (['run'], ['--out', '--export-onnx']),
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


@pytest.mark.parametrize('answer, code', [('y', 0), ('n', 2), ('', 2)])
def test_at_a_terminal_it_asks(run, tmp_path, answer, code):
    pty = pytest.importorskip('pty')
    (tmp_path / 'x.png').write_bytes(b'mine')
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode() + b'\n')
    process = subprocess.run(
        [sys.executable, os.path.join(ROOT, 'plot_losses.py'), 'run/wgan.csv', '--out', 'x.png'],
        cwd=str(tmp_path), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == code and b'Overwrite it? [y/N]' in process.stdout
    assert ((tmp_path / 'x.png').read_bytes() == b'mine') == (code == 2)


def test_force(script, run, tmp_path):
    (tmp_path / 'x.png').write_bytes(b'old')
    assert script('wgan_generate.py', run, '--out', 'x.png', '--force').code == 0
    assert read(tmp_path / 'x.png').shape == (256, 256, 3)


def test_training_animation(script, run, tmp_path):
    assert script('wgan_animate.py', run, '--out', 't.gif').code == 0
    animation = Image.open(str(tmp_path / 't.gif'))
    assert animation.n_frames == 4 and animation.size == (512, 536)
    for frame, step in enumerate((5, 10, 15, 20)):
        animation.seek(frame)
        shown = np.asarray(animation.convert('RGB'))
        assert np.abs(shown[100, 100].astype(int) - [255, 10 * step, 10 * step]).max() < 8
        assert shown[512:].max() > 200                          # the label
    assert animation.info['duration'] >= 1500                   # the last stays
    assert 'exists already' in script('wgan_animate.py', run, '--out', 't.gif').sentence


def test_a_long_run_still_makes_a_small_animation(script, run, tmp_path):
    rng = np.random.RandomState(0)
    for step in range(25, 1000, 5):
        noise = rng.randint(0, 256, (530, 530, 3)).astype(np.uint8)
        module.write_image(str(run / 'samples' / ('step_%06d.png' % step)), noise)
    assert script('wgan_animate.py', run, '--out', 't.gif').code == 0
    assert (tmp_path / 't.gif').stat().st_size < 25e6
    assert Image.open(str(tmp_path / 't.gif')).n_frames == 60


@pytest.mark.parametrize('left', (1, 0))
def test_animation_of_too_few_grids(script, run, left):
    for path in sorted((run / 'samples').iterdir())[left:]:
        path.unlink()
    assert ('samples holds %d sample grids' % left) in script('wgan_animate.py', run, '--out',
                                                              't.gif').sentence


@pytest.mark.parametrize('damage', ['cut off', 'empty', 'folder', 'fifo'])
def test_a_grid_that_can_not_be_read_is_left_out(run, tmp_path, capsys, damage):
    grid = run / 'samples' / 'step_000010.png'
    whole = grid.read_bytes()
    grid.unlink()
    if damage == 'folder':
        grid.mkdir()
    elif damage == 'fifo':
        os.mkfifo(str(grid))
    else:
        grid.write_bytes(whole[:len(whole) // 2 if damage == 'cut off' else 0])
    animate_samples(str(run), str(tmp_path / 't.gif'))
    assert Image.open(str(tmp_path / 't.gif')).n_frames == 3
    said = capsys.readouterr().err
    assert said == ('left out, it can not be read: %s\n' % grid if grid.is_file() else '')


def test_grids_of_different_sizes(run, tmp_path):
    """All are shown at the size of the last."""
    for step, shape in ((5, (64, 64, 3)), (10, (3000, 30, 3)), (15, (8, 8)), (20, (100, 200, 3))):
        cv2.imwrite(str(run / 'samples' / ('step_%06d.png' % step)), np.full(shape, 99, np.uint8))
    animate_samples(str(run), str(tmp_path / 't.mp4'))
    video = cv2.VideoCapture(str(tmp_path / 't.mp4'))
    assert video.read()[1].shape == (124, 200, 3)


def test_no_grid_can_be_read(run, tmp_path):
    for path in (run / 'samples').iterdir():
        path.write_bytes(b'')
    with pytest.raises(UserError, match='samples holds 0 sample grids that can be read'):
        animate_samples(str(run), str(tmp_path / 't.gif'))
    assert os.listdir(str(tmp_path)) == ['run']


HEAD = 'step,G_loss,C_loss,GP,wasserstein,grad_norm,seconds\n'


def test_plot(script, run, tmp_path):
    assert script('plot_losses.py', 'run/wgan.csv', '--out', 'one.png').code == 0
    assert script('plot_losses.py', 'run/wgan.csv', '--out', 'smooth.png', '--smooth', 0.9
                  ).code == 0
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'wgan.csv').write_text((run / 'wgan.csv').read_text().replace('-2', '-9'))
    assert script('plot_losses.py', 'run/wgan.csv', 'other/wgan.csv', '--out', 'two.png').code == 0
    one, smooth, two = (read(tmp_path / n) for n in ('one.png', 'smooth.png', 'two.png'))
    assert one.shape == two.shape == smooth.shape and (one != two).any() and (one != smooth).any()


def test_plot_of_a_run_in_progress_and_of_the_articles_csv(script, tmp_path):
    """A half-written last line is left out; a CSV without our columns has fewer panels."""
    (tmp_path / 'whole.csv').write_text(HEAD + '1,1,2,3,4,5,6\n2,2,3,4,5,6,7\n')
    (tmp_path / 'half.csv').write_text(HEAD + '1,1,2,3,4,5,6\n2,2,3,4,5,6,7\n3,7,-1')
    (tmp_path / 'article.csv').write_text('step,G_loss,C_loss,GP\n0,1,2,0.5\n1,2,3,0.25\n')
    for name in ('whole', 'half', 'article'):
        assert script('plot_losses.py', name + '.csv', '--out', name + '.png').code == 0
    assert (read(tmp_path / 'whole.png') == read(tmp_path / 'half.png')).all()
    assert read(tmp_path / 'article.png').shape[0] < read(tmp_path / 'whole.png').shape[0]


@pytest.mark.parametrize('text, said', [
    (None, 'does not exist'),
    ('', 'is no CSV'),
    ('step,G_loss\n1,2\n', 'lacks the column C_loss'),
    (HEAD, 'has no rows'),
    (HEAD + '1,2,3', 'has no rows'),
    (HEAD + '1,2,often,4,5,6,7\n', 'something else than numbers in the column C_loss'),
])
def test_plot_bad_input(script, tmp_path, text, said):
    if text is not None:
        (tmp_path / 'x.csv').write_text(text)
    sentence = script('plot_losses.py', 'x.csv', '--out', 'x.png').sentence
    assert 'x.csv' in sentence and said in sentence


def test_plot_does_not_overwrite_and_knows_its_suffixes(script, run, tmp_path):
    assert 'x.xyz' in script('plot_losses.py', 'run/wgan.csv', '--out', 'x.xyz').sentence
    (tmp_path / 'x.png').write_bytes(b'mine')
    assert '--force' in script('plot_losses.py', 'run/wgan.csv', '--out', 'x.png').sentence
    assert (tmp_path / 'x.png').read_bytes() == b'mine'


def test_drawn_faces(script, tmp_path):
    """The same seed gives the same files, whatever the count; no two faces are alike."""
    for out, count in (('a', 12), ('b', 5)):
        assert script('data/draw_faces.py', '--out', out, '--count', count, '--size', 40).code == 0
    script('data/draw_faces.py', '--out', 'c', '--count', 5, '--size', 40, '--seed', 1)
    files = [sorted((tmp_path / folder).iterdir()) for folder in 'abc']
    assert [len(f) for f in files] == [12, 5, 5]
    assert all(x.read_bytes() == y.read_bytes() for x, y in zip(*files[:2]))
    assert all(x.read_bytes() != y.read_bytes() for x, y in zip(*files[1:]))
    drawn = np.stack([cv2.imread(str(f)) for f in files[0]]).astype(float)
    assert drawn.shape == (12, 40, 40, 3)
    for i in range(12):
        for j in range(i):
            assert np.abs(drawn[i] - drawn[j]).mean() > 5


@pytest.fixture
def draw(monkeypatch, tmp_path):
    """Call data/draw_faces.py in this process: three faces of 16 pixels into the folder `f`."""
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.syspath_prepend(os.path.join(ROOT, 'data'))
    import draw_faces

    def call(*arguments):
        monkeypatch.setattr('sys.argv', ['draw_faces.py', '--out', 'f', '--count', '3', '--size',
                                         '16'] + [str(a) for a in arguments])
        draw_faces.main()
    return call


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_faces_are_added_to_those_that_are_there(draw, tmp_path):
    draw('--count', 5)
    five = content(tmp_path / 'f')
    for name in ('face_000001.png', 'face_000004.png'):
        os.remove(str(tmp_path / 'f' / name))
    (tmp_path / 'f' / 'notes').write_bytes(b'mine')
    before = os.stat(str(tmp_path / 'f' / 'face_000000.png'))
    draw('--count', 6)
    six = content(tmp_path / 'f')
    assert six.pop('notes') == b'mine' and len(six) == 6
    assert {name: six[name] for name in five} == five
    assert os.stat(str(tmp_path / 'f' / 'face_000000.png')).st_ino == before.st_ino


@pytest.mark.parametrize('what', ['photograph', 'text', 'empty', 'cut off', 'link', 'folder',
                                  'fifo', 'other seed', 'other size'])
def test_faces_do_not_overwrite(draw, tmp_path, what):
    """An image of the user's own that has the name of a face; drawn faces that are others."""
    (tmp_path / 'f').mkdir()
    path = tmp_path / 'f' / 'face_000002.png'
    if what in ('other seed', 'other size'):
        draw('--seed' if what == 'other seed' else '--size', 17)
    elif what == 'folder':
        path.mkdir()
    elif what == 'fifo':
        os.mkfifo(str(path))
    elif what == 'link':
        path.symlink_to('nowhere')
    else:
        draw()
        for name in ('face_000000.png', 'face_000001.png'):
            os.remove(str(tmp_path / 'f' / name))
        path.write_bytes({'photograph': cv2.imencode('.png', np.zeros((16, 16, 3)))[1].tobytes(),
                          'text': b'mine', 'empty': b'',
                          'cut off': path.read_bytes()[:-20]}[what])
    before = {p.name: p.read_bytes() for p in (tmp_path / 'f').iterdir() if p.is_file()}
    with pytest.raises(UserError, match='is there, and is not the face that would be drawn'):
        draw()
    assert before == {p.name: p.read_bytes() for p in (tmp_path / 'f').iterdir() if p.is_file()}
    if what in ('folder', 'fifo'):
        with pytest.raises(OSError, match='not a regular file'):
            draw('--force')
    else:
        draw('--force')
        assert cv2.imread(str(path)).shape == (16, 16, 3)


def test_faces_into_a_file(draw, tmp_path):
    (tmp_path / 'f').write_text('mine')
    with pytest.raises(UserError, match='f is not a folder'):
        draw()


def test_draw_faces_bad_input(script):
    assert '--count' in script('data/draw_faces.py', '--count', 0).sentence
    assert '/proc/faces' in script('data/draw_faces.py', '--out', '/proc/faces').sentence
