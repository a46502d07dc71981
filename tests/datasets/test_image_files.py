"""Which images are found in a folder and in a map file, and what is said of the others."""

import os
import socket

import cv2
import numpy as np
import pytest

from wgan.machine.command_line import UserError
from wgan.datasets.image_files import find_images

IMAGE = np.full((40, 40, 3), (10, 20, 30), np.uint8)


def write(path, suffix=None, content=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(suffix or path.suffix, IMAGE)[1].tobytes()
                     if content is None else content)
    return path


def names(folder, **options):
    return [os.path.relpath(p, str(folder)) for p in find_images(str(folder), **options)]


@pytest.mark.parametrize('name, content, found', [
    ('x.jfif', '.jpg', True), ('x.JPG_large', '.jpg', True), ('x', '.png', True),
    ('x.dat', '.webp', True), ('x.jpg!d', '.jpg', True), ('x.gif', b'GIF89a', True),
    ('x', '.bmp', True), ('x', '.tiff', True), ('x', '.ppm', True), ('x', '.jp2', True),
    ('x', '.ras', True), ('PHOTO.JPG', '.png', True),
    ('x.nef', '.tiff', False),                  # a camera's raw file: it holds a thumbnail
    ('x.heic', b'\0\0\0\x18ftypheic', False), ('x.avif', b'\0\0\0\x18ftypavif', False),
    ('x.exr', b'\x76\x2f\x31\x01', False), ('x.hdr', b'#?RADIANCE\n', False),
    ('x.txt', b'P2P networks', False), ('x.txt', b'BMW', False), ('x', b'', False),
    ('Thumbs.db', b'\xd0\xcf\x11\xe0', False),
])
def test_by_name_or_by_content(tmp_path, capfd, name, content, found):
    write(tmp_path / 'a.png')
    path = tmp_path / name
    write(path, **({'suffix': content} if isinstance(content, str) else {'content': content}))
    assert names(tmp_path) == (sorted(['a.png', name]) if found else ['a.png'])
    said = capfd.readouterr().err
    assert ('passed over' in said) == (not found)
    if not found:
        assert said.count('\n') == 1
        assert '1 not an image (%s 1)' % (path.suffix or 'no suffix') in said


def test_report(tmp_path, capfd):
    for name in ('a.png', 'sub/b.jpg', '.hidden.png', '.ipynb_checkpoints/a.png', '.git/x/c.png'):
        write(tmp_path / name)
    for name in ('1.heic', '2.heic', '.DS_Store', 'notes.txt'):
        write(tmp_path / name, content=b'text')
    assert names(tmp_path) == ['a.png', 'sub/b.jpg']
    assert capfd.readouterr().err == (
        'found 2 images in %s; passed over 4 hidden, 3 not images (.heic 2, .txt 1)\n' % tmp_path)
    assert names(tmp_path, report=False) and capfd.readouterr().err == ''
    assert names(tmp_path / '.git') == ['x/c.png']          # hidden, but asked for
    capfd.readouterr()
    for path in (tmp_path / 'a.png', tmp_path / 'sub' / 'b.jpg'):
        path.unlink()
    with pytest.raises(UserError, match=r'no image in the folder .*passed over 4 hidden, 3 not'):
        find_images(str(tmp_path))


@pytest.mark.parametrize('name', [
    '@eaDir', '$RECYCLE.BIN', '$Recycle.Bin', 'RECYCLER', 'System Volume Information', '#recycle',
    '@Recycle', '__MACOSX', 'lost+found', 'LOST.DIR', 'FOUND.000', 'Network Trash Folder'])
def test_folders_of_the_system_are_passed_over(tmp_path, capfd, name):
    """Thumbnails and deleted images are neither trained on nor a label; unless asked for."""
    for path in ('cat/a.png', 'dog/b.png', name + '/x.png', 'cat/%s/a.jpg/thumb.jpg' % name,
                 'dog/lost and found/c.png', name + '.png', 'eaDir/d.png'):
        write(tmp_path / path)
    (tmp_path / 'dog' / 'Thumbs.db').write_bytes(b'\xd0\xcf\x11\xe0')
    assert names(tmp_path) == sorted(['cat/a.png', 'dog/b.png', 'dog/lost and found/c.png',
                                      name + '.png', 'eaDir/d.png'])
    assert capfd.readouterr().err == (
        'found 5 images in %s; passed over 2 system folders (%s …), 1 not an image (.db 1)\n' % (
            tmp_path, min(tmp_path / name, tmp_path / 'cat' / name)))
    assert names(tmp_path / name) == ['x.png']


@pytest.mark.parametrize('name', ['.Trash-1000', '.thumbnails', '.AppleDouble', '.@__thumb',
                                  '.Spotlight-V100', '.Trashes', '.fseventsd'])
def test_hidden_folders_of_the_system(tmp_path, capfd, name):
    for path in ('a.png', '._a.png', name + '/b.png'):
        write(tmp_path / path, suffix='.png')
    assert names(tmp_path) == ['a.png']
    assert 'passed over 2 hidden\n' in capfd.readouterr().err


RUN = '{"settings": {"n_critic": 5}, "versions": {"cntk": "2.7"}}'


def test_a_run_is_never_data(tmp_path, capfd):
    """By itself, below the images, and where a link leads; its grids are data if named."""
    for path in ('a.png', 'run/samples/real.png', 'run/deep/b.png', 'x/run.1/losses.png'):
        write(tmp_path / 'pics' / path)
    write(tmp_path / 'other' / 'training.gif', suffix='.png')
    (tmp_path / 'pics' / 'link').symlink_to(tmp_path / 'other')
    for folder in ('pics/run', 'pics/x/run.1', 'other'):
        (tmp_path / folder / 'config.json').write_text(RUN)
    assert names(tmp_path / 'pics') == ['a.png']
    assert capfd.readouterr().err == 'found 1 image in %s; passed over 3 runs (%s …)\n' % (
        tmp_path / 'pics', tmp_path / 'pics' / 'link')
    assert names(tmp_path / 'pics' / 'run' / 'samples') == ['real.png']
    with pytest.raises(UserError, match=r'no image in the folder .*passed over 1 run \('):
        find_images(str(tmp_path / 'pics' / 'run'))


@pytest.mark.parametrize('content', [
    '', '{', '[]', '3', 'null', '"settings"', '{"settings": 3, "versions": 4}',
    '{"settings": {"n_critic": 5}}', '{"settings": {}, "versions": {"cntk": "2.7"}}',
    '{"settings": null, "versions": null}', '{"settings": "n_critic", "versions": "cntk"}',
    '[' * 100000, b'\xff\xfe', None])
def test_a_config_that_no_run_wrote_hides_nothing(tmp_path, content):
    write(tmp_path / 'a.png')
    if content is None:
        os.mkfifo(str(tmp_path / 'config.json'))
    else:
        (tmp_path / 'config.json').write_bytes(
            content if isinstance(content, bytes) else content.encode())
    assert names(tmp_path) == ['a.png']


def test_links_are_followed_without_loops(tmp_path, capfd):
    write(tmp_path / 'other' / 'o.png')
    folder = tmp_path / 'pics'
    write(folder / 'real' / 'a.png')
    write(tmp_path / 'elsewhere.png')
    for name, target in (('again', folder / 'real'), ('link', tmp_path / 'other'),
                         ('back', folder), ('real/up', tmp_path), ('real/self', 'self'),
                         ('file.png', tmp_path / 'elsewhere.png'), ('gone.png', 'nothing.png')):
        (folder / name).symlink_to(target)
    (tmp_path / 'other' / 'in').symlink_to(tmp_path)        # a loop by way of another folder
    assert names(folder) == ['file.png', 'link/o.png', 'real/a.png']
    said = capfd.readouterr().err
    for part in ('2 dangling links (', '3 looping links (', '1 repeated folder (%s)'
                 % (folder / 'again')):
        assert part in said
    (tmp_path / 'alias').symlink_to(folder)
    assert len(find_images(str(tmp_path / 'alias'))) == 3


def test_nothing_is_opened_that_could_hang(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(str(tmp_path))                        # a socket's path must be short
    write(tmp_path / 'a.png')
    os.mkfifo('fifo.png')
    os.mkfifo('fifo')
    (tmp_path / 'to_fifo.jpg').symlink_to('fifo')
    (tmp_path / 'null.png').symlink_to('/dev/null')
    with socket.socket(socket.AF_UNIX) as server:
        server.bind('socket.png')
        assert names('.') == ['a.png']
    assert '5 special files (' in capfd.readouterr().err
    with pytest.raises(UserError, match='fifo is neither a folder nor a regular file; --photos'):
        find_images('fifo', option='--photos')


def test_what_may_not_be_read(tmp_path, monkeypatch, capfd):
    """As for a user who is not root, for whom nothing is unreadable."""
    write(tmp_path / 'a.png')
    write(tmp_path / 'secret.png')
    write(tmp_path / 'locked' / 'b.png')
    scandir, access = os.scandir, os.access

    def refuse(folder):
        if os.path.basename(folder) == 'locked':
            raise PermissionError(13, 'Permission denied', folder)
        return scandir(folder)

    monkeypatch.setattr(os, 'scandir', refuse)
    monkeypatch.setattr(os, 'access', lambda path, mode: 'secret' not in path
                        and access(path, mode))
    assert names(tmp_path) == ['a.png']
    said = capfd.readouterr().err
    assert '1 unreadable file (%s)' % (tmp_path / 'secret.png') in said
    assert '1 unreadable folder (%s)' % (tmp_path / 'locked') in said
    with pytest.raises(PermissionError):
        find_images(str(tmp_path / 'locked'))
    (tmp_path / 'map.txt').write_text('a.png\nsecret.png\n')
    with pytest.raises(UserError, match=r'map\.txt, line 2: .*secret\.png can not be read'):
        find_images(str(tmp_path / 'map.txt'))


def test_names_in_any_bytes(tmp_path, capfd):
    folder = tmp_path / os.fsdecode(b'caf\xe9 \n "x"')
    path = write(folder / os.fsdecode(b'\xff.png'), suffix='.png')
    write(folder / os.fsdecode(b'x.\xe9'), content=b'')
    assert find_images(str(folder)) == find_images(str(tmp_path)) == [str(path)]
    said = capfd.readouterr().err
    assert said.count('\n') == 2 and "\\udce9" in said
    with pytest.raises(UserError, match=r'\\udce9 nowhere'):
        find_images(os.fsdecode(b'\xe9 nowhere'))


@pytest.mark.parametrize('line', [
    'sub/a b.png\t0', 'sub/a b.png', '7\tsub/a b.png\t0', 'sub\\a b.png\t0', '...\\sub\\a b.png\t0',
    '.../sub/a b.png\t0', '9\t...\\sub/a b.png\t0', 'data/sub/a b.png\t0', 'data\\sub\\a b.png\t1',
    '%s/data/sub/a b.png\t0',
])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_lines_of_a_map_file(tmp_path, monkeypatch, line, encoding):
    monkeypatch.chdir(str(tmp_path))
    path = write(tmp_path / 'data' / 'sub' / 'a b.png')
    if '%s' in line:
        line = line % tmp_path
    text = '\r\n%s\r\n\n%s' % (line, line)
    (tmp_path / 'data' / 'map.txt').write_bytes(text.encode(encoding))
    found = find_images('data/map.txt')
    assert [os.path.realpath(p) for p in found] == [str(path)] * 2


def test_map_file_with_names_in_any_bytes(tmp_path):
    for name in (b'caf\xe9.png', 'café.png'.encode()):
        path = write(tmp_path / os.fsdecode(name), suffix='.png')
        (tmp_path / 'map.txt').write_bytes(name + b'\t0\n')
        assert find_images(str(tmp_path / 'map.txt')) == [str(path)]


@pytest.mark.parametrize('line, said', [
    ('gone.png\t0', 'gone.png does not exist'), ('3\tgone.png\t0', 'gone.png does not exist'),
    ('sub\t0', 'sub is a folder'), ('\t0', "'' "), ('fifo\t0', 'fifo is not a regular file'),
    ('null\t0', 'null is not a regular file'), ('link.png\t0', 'link.png does not exist'),
    ('x.zip@/a.png\t0', 'is in a zip file, which is not read; unpack it'),
    ('...\t0', '... does not exist'), ('x' * 100000, 'does not exist'),
])
def test_bad_lines_of_a_map_file(tmp_path, line, said):
    write(tmp_path / 'a.png')
    (tmp_path / 'sub').mkdir()
    os.mkfifo(str(tmp_path / 'fifo'))
    (tmp_path / 'null').symlink_to('/dev/null')
    (tmp_path / 'link.png').symlink_to('nothing')
    source = tmp_path / 'map.txt'
    source.write_text('a.png\t0\n\n%s\n' % line)
    with pytest.raises(UserError) as error:
        find_images(str(source))
    sentence = str(error.value)
    assert sentence.startswith('%s, line 3: the image ' % source) and said in sentence
    assert len(sentence) < 600


@pytest.mark.parametrize('content', [b'', b'\n\n', b'\xef\xbb\xbf', b'\x89PNG\0', b'\xff\xfeodd'])
def test_no_map_file(tmp_path, content):
    (tmp_path / 'x').write_bytes(content)
    with pytest.raises(UserError, match='lists no image|is no map file .*; --reference takes'):
        find_images(str(tmp_path / 'x'), option='--reference')
