"""data/prepare_faces.py, on photographs made of drawn faces, which the cascades find too."""

import contextlib
import os
import signal
import subprocess
import sys

import cv2
import numpy as np
from PIL import Image
import pytest

from conftest import copied, made_once
from helpers import ROOT, finished, image_file, tree, wait_for
from wgan.datasets.image_decoder import TURNS
from wgan.datasets.images import ImageSet, write_image

from draw_faces import draw_face
import prepare_faces

FOUND = (2, 3, 5, 11, 13, 15)        # seeds of drawn faces that the cascades take for faces


def drawn(seed, size=200):
    return draw_face(size, np.random.RandomState(seed))[0]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    (folder / 'more').mkdir(parents=True)
    for seed in FOUND[:3]:
        write_image(str(folder / ('face %d.png' % seed)), drawn(seed))
    two = np.full((260, 520, 3), 190, np.uint8)
    two[30:230, 20:220], two[30:230, 280:480] = drawn(FOUND[3]), drawn(FOUND[4])
    write_image(str(folder / 'more' / 'two.png'), two)
    smaller = cv2.resize(drawn(FOUND[0]), (160, 160), interpolation=cv2.INTER_AREA)
    write_image(str(folder / 'more' / 'twin of 2.jpg'), smaller)
    noise = np.random.RandomState(0).randint(0, 256, (200, 200, 3)).astype(np.uint8)
    write_image(str(folder / 'noise.png'), noise)
    (folder / 'broken.jpg').write_bytes(b'no image')
    return folder


@pytest.mark.slow
def test_faces_out_of_photographs(command, photos, tmp_path):
    result = command('data/prepare_faces.py', photos, '--out', 'faces', '--size', 48)
    assert result.code == 0, result.err
    counts = {line[:22].strip(): int(line[22:]) for line in result.out.splitlines()[1:-1]}
    assert counts == {'read': 6, 'unreadable': 1, 'without a face': 1, 'with several faces': 1,
                      'duplicate photographs': 1, 'duplicate faces': 0, 'faces': 5}
    folder = tmp_path / 'faces'
    names = sorted(os.listdir(str(folder)))
    assert names == ['000000_face 2.jpg', '000001_face 3.jpg', '000002_face 5.jpg',
                     '000003_two.jpg', '000004_two.jpg', 'left_out.tsv', 'map.txt']
    left_out = dict(line.split('\t') for line in
                    (folder / 'left_out.tsv').read_text().splitlines())
    assert {os.path.basename(p): why for p, why in left_out.items()} == {
        'broken.jpg': 'unreadable: not an image of a kind that is read here',
        'noise.png': 'no face found',
        'twin of 2.jpg': 'nearly the same as %s' % (photos / 'face 2.png')}

    # Ready to train on, as a folder and as a map file; the sheet shows all, and is not among them.
    for source in (folder, folder / 'map.txt'):
        faces = ImageSet(str(source), 48)
        assert len(faces) == 5 and faces.images.shape == (5, 48, 48, 3)
    assert os.listdir(str(tmp_path / 'faces-sheets')) == ['sheet_001.jpg']
    sheet = cv2.imread(str(tmp_path / 'faces-sheets' / 'sheet_001.jpg'))
    assert sheet.shape == (64, 20 * 65 - 1, 3)


@pytest.mark.slow
def test_portraits_that_are_to_be_turned(command, tmp_path):
    """One face as cameras save it in each of their eight orientations, after other data: all are
    the same photograph.
    """
    (tmp_path / 'photos').mkdir()
    inverse = {orientation: orientation for orientation in range(1, 9)}
    inverse.update({6: 8, 8: 6})
    for orientation in inverse:
        image = Image.fromarray(drawn(FOUND[0]))
        if orientation > 1:
            image = image.transpose(TURNS[inverse[orientation]])
        data = image_file(np.asarray(image), 'JPEG', orientation=orientation, quality=95)
        metadata = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>'
        (tmp_path / 'photos' / ('%d.jpg' % orientation)).write_bytes(
            data[:2] + b'\xff\xe1\0' + bytes([len(metadata) + 2]) + metadata + data[2:])
    result = command('data/prepare_faces.py', 'photos', '--out', 'faces')
    assert result.code == 0, result.err
    counts = {line[:22].strip(): int(line[22:]) for line in result.out.splitlines()[1:-1]}
    assert (counts['read'], counts['faces'], counts['without a face'],
            counts['duplicate photographs']) == (8, 1, 0, 7)


def test_where_the_square_lies():
    """Around the middle of the face with the margin on each side, pushed back at the edges."""
    photograph = np.zeros((100, 150, 3), np.uint8)
    photograph[:, :, 0], photograph[:, :, 1] = np.arange(150), np.arange(100)[:, None]

    def corner(box, margin):
        face = prepare_faces.cut(photograph, box, margin, 10)
        step = face.astype(int)[1:, 1:] - face[:-1, :-1]        # pixels of the photograph a pixel
        return face[0, 0, :2].tolist(), step[..., :2].mean()

    (left, top), step = corner((60, 40, 20), 0.5)               # 40 wide, from (50, 30)
    assert step == pytest.approx(4, abs=0.1) and abs(left - 51.5) <= 1 and abs(top - 31.5) <= 1
    (left, top), step = corner((120, 5, 20), 0.5)               # would leave at the top and right
    assert step == pytest.approx(4, abs=0.1) and abs(left - 111.5) <= 1 and abs(top - 1.5) <= 1
    (left, top), step = corner((60, 40, 60), 1)                 # larger than the photograph
    assert step == pytest.approx(10, abs=0.1)


def test_near_duplicates():
    """Saved again, smaller and worse: the same. Another face: not."""
    seen = prepare_faces.Seen()
    for seed in FOUND:
        face = drawn(seed, 128)
        assert seen.earlier(seed, prepare_faces.hashes(face)) is None
        _, data = cv2.imencode('.jpg', cv2.resize(face, (100, 100)), [cv2.IMWRITE_JPEG_QUALITY, 50])
        again = cv2.resize(cv2.imdecode(data, cv2.IMREAD_COLOR), (128, 128))
        assert seen.earlier('again', prepare_faces.hashes(again)) == seed
    assert seen.names == list(FOUND)


@pytest.mark.slow
@pytest.mark.parametrize('arguments, said', [
    (['photos', '--out', 'photos'], ['is in the folder of the photographs']),
    (['photos', '--out', 'photos/more/faces'], ['is in the folder of the photographs']),
    (['photos', '--out', 'taken'], ['taken exists already']),
    (['nowhere', '--out', 'faces'], ['nowhere does not exist; PHOTOS takes a folder']),
    (['blank', '--out', 'faces'], ['no face', 'blank', '--min-face', '50 pixels']),
    (['photos', '--out', 'faces', '--size', 0], ['--size', 'at least 8']),
    (['photos', '--out', 'faces', '--margin', -1], ['--margin']),
])
def test_bad_input(script, command, photos, tmp_path, arguments, said):
    for name in ('taken', 'blank'):
        (tmp_path / name).mkdir()
        write_image(str(tmp_path / name / 'x.png'), np.zeros((80, 80, 3), np.uint8))
    # It reads images in copies of its process, which has to be one without CNTK's threads.
    call = command if 'blank' in arguments else script
    sentence = call('data/prepare_faces.py', *arguments).sentence
    for words in said:
        assert words in sentence
    assert not list(tmp_path.glob('faces*'))
    assert (tmp_path / 'taken' / 'x.png').exists()


@pytest.mark.slow
def test_what_may_lie_among_photographs(command, photos, tmp_path):
    """Names of any length and bytes, links, FIFOs, dark and tiny images; foreign folders."""
    long, latin = 'n' * 250 + '.png', os.fsdecode(b'\xe9.png')
    for name, seed in ((long, FOUND[4]), (latin, FOUND[5])):
        with open(str(photos / name), 'wb') as file:
            file.write(cv2.imencode('.png', drawn(seed)[:, :, ::-1])[1].tobytes())
    write_image(str(photos / 'tiny.png'), np.zeros((1, 900, 3), np.uint8))
    cv2.imwrite(str(photos / 'dark.png'), drawn(FOUND[0])[:, :, ::-1].astype(np.uint16) * 16)
    os.mkfifo(str(photos / 'fifo.jpg'))
    (photos / 'more' / 'up').symlink_to(photos)
    kept = tmp_path / 'faces.partial' / 'mine.txt'
    kept.parent.mkdir()
    kept.write_text('mine')
    result = command('data/prepare_faces.py', photos, '--out', 'faces', '--size', 48)
    assert result.code == 0, result.err
    said = result.err
    assert 'found 11 images in' in said and '1 looping link' in said and '1 special file' in said
    assert 'dark.png: its 16 bits hold values up to' in said
    names = sorted(os.listdir(str(tmp_path / 'faces')))
    assert any(name.endswith('_%s.jpg' % ('n' * 50)) for name in names)
    assert any(name.endswith('__.jpg') for name in names)
    assert kept.read_text() == 'mine'
    assert sorted(p.name for p in tmp_path.glob('faces*')) == ['faces', 'faces-sheets',
                                                               'faces.partial']


# A program that is stopped.

@pytest.fixture(scope='module')
def stopped_once(tmp_path_factory):
    """A folder with `many` photographs, in which to look for faces takes seconds, and `faces`, what
    one call makes of them.
    """
    def make(folder):
        (folder / 'many').mkdir()
        for i in range(24):
            face = drawn(FOUND[i % 6], 400 + 10 * i)
            write_image(str(folder / 'many' / ('%02d.png' % i)), face[:, ::-1] if i % 2 else face)
        assert finished(start(folder)).code == 0
        assert len(os.listdir('faces')) > 6
    return made_once(tmp_path_factory, 'faces', make)


@pytest.fixture
def many(stopped_once, tmp_path):
    return copied(stopped_once / 'many', tmp_path)


def start(folder):
    return subprocess.Popen(
        [sys.executable, os.path.join(ROOT, 'data', 'prepare_faces.py'), 'many', '--out', 'faces',
         '--size', '32'], cwd=str(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def faces_in(folder):
    with contextlib.suppress(FileNotFoundError):
        return [name for name in os.listdir(str(folder)) if name.endswith('.jpg')]
    return []


@pytest.fixture
def undisturbed(stopped_once, many):
    """What one call makes, as `tree` gives it."""
    return tree(stopped_once / 'faces')


@pytest.mark.slow
@pytest.mark.parametrize('number', [
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_the_next_call_continues(undisturbed, tmp_path, number):
    process = start(tmp_path)
    wait_for(lambda: len(faces_in(tmp_path / 'faces')) > 2, process)
    process.send_signal(number)
    result = finished(process)
    assert result.code == (-number if number == signal.SIGKILL else 128 + number), result.err
    assert 'Traceback' not in result.err
    if number != signal.SIGKILL:
        assert 'faces are in faces; call again to continue' in result.out
    before = faces_in(tmp_path / 'faces')
    assert len(before) > 2 and (number == signal.SIGKILL
                                or not list((tmp_path / 'faces').glob('.partial*')))
    times = {name: os.stat(str(tmp_path / 'faces' / name)).st_mtime_ns for name in before[:-1]}
    result = finished(start(tmp_path))
    assert result.code == 0 and 'photographs that are done' in result.err, result.err
    assert tree(tmp_path / 'faces') == undisturbed and (tmp_path / 'faces-sheets').is_dir()
    again = [name for name in times
             if os.stat(str(tmp_path / 'faces' / name)).st_mtime_ns != times[name]]
    assert len(again) <= 1                              # that of which there was no note yet


@pytest.mark.slow
def test_photographs_change_before_it_continues(many, undisturbed, command, tmp_path):
    """What comes before the change is kept; nothing of what is gone stays."""
    process = start(tmp_path)
    wait_for(lambda: len(faces_in(tmp_path / 'faces')) > 2, process)
    process.send_signal(signal.SIGTERM)
    assert finished(process).code == 128 + signal.SIGTERM
    (many / '01.png').unlink()
    write_image(str(many / '03.png'), np.zeros((90, 90, 3), np.uint8))
    assert finished(start(tmp_path)).code == 0
    found = tree(tmp_path / 'faces')
    assert command('data/prepare_faces.py', 'many', '--out', 'fresh', '--size', 32).code == 0
    assert found == tree(tmp_path / 'fresh') != undisturbed


@pytest.mark.slow
def test_other_settings_begin_anew(many, command, tmp_path):
    process = start(tmp_path)
    wait_for(lambda: len(faces_in(tmp_path / 'faces')) > 2, process)
    assert 'another process writes faces into faces' in command(
        'data/prepare_faces.py', 'many', '--out', 'faces', '--size', 32).sentence
    process.send_signal(signal.SIGUSR1)
    assert finished(process).code == 128 + signal.SIGUSR1
    result = command('data/prepare_faces.py', 'many', '--out', 'faces', '--format', 'png')
    assert result.code == 0 and 'the settings are others than before' in result.err
    assert not faces_in(tmp_path / 'faces')
    assert 'faces exists already' in command('data/prepare_faces.py', 'many', '--out',
                                             'faces').sentence
