"""data/draw_faces.py: the same faces from the same seed, and files of the user's own."""

import os

import cv2
import numpy as np
import pytest

from wgan.machine.command_line import UserError
from wgan.datasets.image_files import read_map_file

import draw_faces

MAPS = {'hair.txt': {'dark', 'fair', 'grey'}, 'beard.txt': {'beard', 'shaven'},
        'glasses.txt': {'glasses', 'none'}}


def test_drawn_faces(script, tmp_path):
    """The same seed gives the same files, whatever the count; no two faces are alike."""
    for out, count in (('a', 12), ('b', 5)):
        assert script('data/draw_faces.py', '--out', out, '--count', count, '--size', 40).code == 0
    script('data/draw_faces.py', '--out', 'c', '--count', 5, '--size', 40, '--seed', 1)
    files = [sorted((tmp_path / folder).glob('*.png')) for folder in 'abc']
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
    assert six.pop('notes') == b'mine' and len(six) == 9
    for name in MAPS:
        labels = five.pop(name)
        assert six[name].startswith(labels) and labels.count(b'\n') == 5
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


@pytest.mark.slow
def test_labels(draw, tmp_path):
    """A line a face, in their order, as a map file has them."""
    draw('--count', 60)
    for name, labels in MAPS.items():
        found = read_map_file(str(tmp_path / 'f' / name))
        assert [line.path for line in found] == [
            str(tmp_path / 'f' / ('face_%06d.png' % i)) for i in range(60)]
        assert {line.label for line in found} == labels


def test_fewer_faces_leave_the_labels(draw, tmp_path):
    draw('--count', 5)
    before = content(tmp_path / 'f')
    draw('--count', 3)
    assert content(tmp_path / 'f') == before


@pytest.mark.parametrize('text', ['mine', '', 'face_000000.png\tglasses\nface_000001.png\t'])
def test_labels_of_something_else(draw, tmp_path, text):
    draw('--count', 5)
    (tmp_path / 'f' / 'glasses.txt').write_text(text)
    before = content(tmp_path / 'f')
    with pytest.raises(UserError, match='does not hold the labels of these faces'):
        draw('--count', 5)
    assert content(tmp_path / 'f') == before
    draw('--count', 5, '--force')
    assert content(tmp_path / 'f')['glasses.txt'].count(b'\n') == 5


def test_faces_into_a_file(draw, tmp_path):
    (tmp_path / 'f').write_text('mine')
    with pytest.raises(UserError, match='f is not a folder'):
        draw()


def test_draw_faces_bad_input(script):
    assert '--count' in script('data/draw_faces.py', '--count', 0).sentence
    assert '/proc/faces' in script('data/draw_faces.py', '--out', '/proc/faces').sentence
