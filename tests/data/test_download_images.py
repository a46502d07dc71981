"""data/download_images.py against a server on 127.0.0.1 that misbehaves."""

import hashlib
import os
import random
import signal
import socketserver
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import cv2
import numpy as np
import pytest

from wgan.machine.command_line import UserError
from helpers import ROOT, image_file

import download_images


def jpeg(seed, suffix='.jpg'):
    image = np.random.RandomState(seed).randint(0, 256, (40, 40, 3)).astype(np.uint8)
    return cv2.imencode(suffix, image)[1].tobytes()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, data, code=200, length=None, kind='image/jpeg', **headers):
        self.send_response(code)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(data) if length is None else length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        asked = self.server.asked
        asked[self.path] = asked.get(self.path, 0) + 1
        name, _, number = self.path[1:].partition('/')
        try:
            if name == 'good':
                time.sleep(self.server.pause)
                self.answer(jpeg(int(number)))
            elif name == 'png':
                self.answer(jpeg(0, '.png'))
            elif name == 'missing':
                self.answer(b'no', 404)
            elif name == 'later':                       # 500 at first, then an image
                first = asked[self.path] == 1
                self.answer(b'' if first else jpeg(100), 500 if first else 200)
            elif name == 'html':
                self.answer(b'<html><img src="x.jpg"></html>')
            elif name == 'loop':
                self.answer(b'', 302, Location=self.path)
            elif name == 'moved':
                self.answer(b'', 302, Location='/good/101')
            elif name == 'cut':                         # announced whole, sent half
                data = jpeg(102)
                self.answer(data[:len(data) // 2], length=len(data))
            elif name == 'halved':                      # half an image, and says so
                data = jpeg(103)
                self.answer(data[:len(data) // 2])
            elif name == 'slow':
                self.send_response(200)
                self.end_headers()
                while True:
                    self.wfile.write(b'x')
                    time.sleep(0.1)
            elif name == 'busy':                        # 429 at first, and says when to come again
                first = asked[self.path] == 1
                self.answer(b'' if first else jpeg(104), 429 if first else 200,
                            **{'Retry-After': number} if first else {})
            elif name in ('gif', 'jp2'):
                self.answer(image_file(np.full((20, 20, 3), 99, np.uint8),
                                       {'gif': 'GIF', 'jp2': 'JPEG2000'}[name]))
            elif self.path.startswith(('/%C3%B1', '/%E7%8C%AB')):
                self.answer(jpeg(105 + (name[1:3] == 'E7')))
            elif name == 'page':
                self.answer(b'no image here', kind='text/html; charset=utf-8')
            elif name == 'away':                        # a redirection whose content has no end
                self.send_response(302)
                self.send_header('Location', '/good/107')
                self.end_headers()
                while True:
                    self.wfile.write(bytes(1 << 16))
            elif name == 'endless':
                self.send_response(200)
                self.end_headers()
                while True:
                    self.wfile.write(bytes(1 << 16))
        except OSError:                                 # the other side hung up
            pass


class Server(socketserver.ThreadingMixIn, HTTPServer):
    daemon_threads = True
    request_queue_size = 64


@pytest.fixture
def server():
    server = Server(('127.0.0.1', 0), Handler)
    server.asked, server.pause = {}, 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.address = 'http://127.0.0.1:%d/' % server.server_port
    yield server
    server.shutdown()
    server.server_close()


def listed(tmp_path, *lines):
    (tmp_path / 'list.txt').write_text('\n'.join(lines) + '\n')
    return 'list.txt'


def images_in(folder):
    return {name: (folder / name).read_bytes() for name in os.listdir(str(folder))
            if not name.endswith('.tsv')}


def failures(folder):
    return dict(line.split('\t') for line in (folder / 'failed.tsv').read_text().splitlines())


@pytest.mark.slow
def test_what_comes_and_what_fails(script, server, tmp_path):
    a = server.address
    bad = ['missing', 'html', 'loop', 'cut', 'halved', 'slow', 'endless']
    result = script('data/download_images.py', listed(
        tmp_path, '# a comment', '', a + 'good/1', a + 'good/2', a + 'good/1', a + 'png',
        a + 'later', a + 'moved', a + 'good/101', 'www.example.com/x.jpg', 'file:///etc/passwd',
        *(a + name for name in bad)), '--out', 'out', '--seconds', 4, '--max-size', 1)
    assert result.code == 0, result.err
    folder = tmp_path / 'out'
    expected = [jpeg(1), jpeg(2), jpeg(0, '.png'), jpeg(100), jpeg(101)]
    found = images_in(folder)
    assert sorted(found.values()) == sorted(expected)
    for name, data in found.items():
        assert name.startswith(hashlib.sha256(data).hexdigest()[:24])
    assert sorted(os.path.splitext(name)[1] for name in found) == ['.jpg'] * 4 + ['.png']

    why = failures(folder)
    assert set(why) == {a + name for name in bad} | {'www.example.com/x.jpg', 'file:///etc/passwd'}
    for name, words in (('missing', 'answer 404'), ('html', 'a page came in the place'),
                        ('loop', 'redirected without end'), ('cut', 'cut off'),
                        ('halved', 'no whole image'), ('slow', 'not finished after 4 seconds'),
                        ('endless', 'larger than 1 MB')):
        assert words in why[a + name]
    assert 'no http or https' in why['file:///etc/passwd']
    assert server.asked['/later'] == 2 and server.asked['/missing'] == 1
    assert server.asked['/cut'] > 1
    assert '15 addresses: 5 images' in result.out and '9 addresses failed' in result.out

    # Once more: nothing that is there is fetched again, what failed is tried again.
    before = dict(server.asked)
    assert script('data/download_images.py', 'list.txt', '--out', 'out', '--seconds', 1,
                  '--max-size', 1).code == 0
    assert server.asked['/good/1'] == before['/good/1']
    assert server.asked['/missing'] == before['/missing'] + 1
    assert images_in(folder) == found


@pytest.mark.slow
def test_what_servers_and_lists_do(script, server, tmp_path):
    """Letters of any script, captions, servers that are busy, kinds that are seldom, pages."""
    a = server.address
    result = script('data/download_images.py', listed(
        tmp_path, a + 'ñ.jpg', a + '猫/?q=猫', a + 'gif\ta cat', 'a caption, 2\t' + a + 'jp2',
        a + 'page', a + 'busy/1', a + 'busy/3600', a + 'busy/soon', a + 'away', 'http://[',
        'http://a:b/', 'http://' + 99 * 'x' + '.é/', 'url\tcaption', a + 'good/1 a caption'),
        '--out', 'out', '--seconds', 5)
    assert result.code == 0, result.err
    assert sorted(os.path.splitext(name)[1] for name in images_in(tmp_path / 'out')) == [
        '.gif', '.jp2'] + 4 * ['.jpg']
    assert {jpeg(104), jpeg(105), jpeg(106), jpeg(107)} <= set(
        images_in(tmp_path / 'out').values())
    why = failures(tmp_path / 'out')
    assert why.pop(a + 'page') == 'a page came in the place of an image'
    assert 'answer 429' in why[a + 'busy/3600'] and 'in 3600 seconds' in why.pop(a + 'busy/3600')
    assert why.pop("'url\\tcaption'") == 'no http or https address'
    assert 'a TAB before a caption' in why.pop(a + 'good/1 a caption')
    assert len(why) == 3 and all('no address that can be asked for' in w for w in why.values())
    assert server.asked['/busy/1'] == 2 and server.asked['/busy/3600'] == 1
    assert server.asked['/busy/soon'] == 2


@pytest.mark.slow
def test_killed_twenty_times(server, tmp_path):
    """SIGKILL at random moments; in the end every good image is there once, whole."""
    server.pause = 0.05
    count, rng, folder = 60, random.Random(0), tmp_path / 'out'
    command = [sys.executable, os.path.join(ROOT, 'data', 'download_images.py'),
               listed(tmp_path, *('%sgood/%d' % (server.address, i) for i in range(count))),
               '--out', 'out', '--parallel', '2']
    kills = 0
    while kills < 20:
        process = subprocess.Popen(command, cwd=str(tmp_path), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        while not server.asked and process.poll() is None:
            time.sleep(0.01)                            # the first has begun to fetch
        time.sleep(rng.uniform(0, 0.35) + (0.25 if kills else 0))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        if process.returncode == 0 and kills < 20:      # done too early: lose some, and go on
            for name in list(images_in(folder))[::2]:
                os.remove(str(folder / name))
    subprocess.check_call(command, cwd=str(tmp_path))
    assert sorted(images_in(folder).values()) == sorted(jpeg(i) for i in range(count))
    assert (folder / 'failed.tsv').read_text() == ''


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal(server, tmp_path, number):
    process = subprocess.Popen(
        [sys.executable, os.path.join(ROOT, 'data', 'download_images.py'),
         listed(tmp_path, *('%sslow/%d' % (server.address, i) for i in range(9))), '--out', 'out'],
        cwd=str(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while len(server.asked) < 4:
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + number and b'Traceback' not in said
    assert images_in(tmp_path / 'out') == {}


@pytest.mark.parametrize('lines, arguments, said', [
    (['# nothing'], [], ['list.txt holds no http or https address']),
    (['file:///etc/passwd', 'x.jpg'], [], ['list.txt holds no http or https address']),
    (['http://127.0.0.1/'], ['--parallel', 0], ['--parallel']),
    (['http://127.0.0.1/'], ['--seconds', 0], ['--seconds', 'above 0']),
    (None, [], ['list.txt', 'No such file']),
])
def test_bad_input(script, tmp_path, lines, arguments, said):
    if lines:
        listed(tmp_path, *lines)
    sentence = script('data/download_images.py', 'list.txt', '--out', 'out', *arguments).sentence
    for words in said:
        assert words in sentence


@pytest.fixture
def prepare(monkeypatch, tmp_path):
    """What data/download_images.py does before it fetches, in this process."""
    monkeypatch.chdir(str(tmp_path))

    def call(content=b'http://a/x.jpg\n'):
        (tmp_path / 'list.txt').write_bytes(content)
        monkeypatch.setattr('sys.argv', ['download_images.py', 'list.txt', '--out', 'out'])
        return download_images.prepare(download_images.parse())
    return call


@pytest.mark.parametrize('content, addresses, refused', [
    (b'\xef\xbb\xbfhttp://a/x\r\nHTTPS://b/y\r\n', ['http://a/x', 'HTTPS://b/y'], []),
    ('http://a/ä\n'.encode(), ['http://a/ä'], []),
    (b'http://a/x\nhttp://a/x y\nhttp://a/x\ty\ny\thttp://a/z\n', ['http://a/x', 'http://a/z'],
     ['http://a/x y']),
    (b'http://a/x\nhttp://\n\0\nhttp://b/\x1b[2J\n', ['http://a/x'],
     ['http://', "'\\x00'", "'http://b/\\x1b[2J'"]),
])
def test_what_a_list_holds(prepare, content, addresses, refused):
    found, left, _ = prepare(content)
    assert found == addresses and [line for line, _ in left] == refused


@pytest.mark.parametrize('content', [b'http://a/\xff\n', b'\x89PNG\r\n', b'', b'\0' * 100])
def test_lists_that_are_none(prepare, tmp_path, content):
    with pytest.raises(UserError, match='list.txt'):
        prepare(content)
    assert os.listdir(str(tmp_path)) == ['list.txt']


def test_a_list_that_is_no_file(prepare, tmp_path):
    os.mkfifo(str(tmp_path / 'fifo'))
    for name in ('fifo', '.'):
        with pytest.raises(UserError, match='not a regular file'):
            download_images.read_list(str(tmp_path / name))


@pytest.mark.parametrize('name, content', [
    ('fetched.tsv', b'date\tplace\n2020\tRome\n'), ('fetched.tsv', b'\xff\n'),
    ('fetched.tsv', b'\n'.join([b'0123456789abcdef01234567.jpg\thttp://a/', b'x\ty', b''])),
    ('failed.tsv', b'mine')])
def test_files_of_the_users_own(prepare, tmp_path, name, content):
    (tmp_path / 'out').mkdir()
    for file, data in ((name, content), ('thesis.partial', b'mine'), ('x.jpg.7.partial', b'mine')):
        (tmp_path / 'out' / file).write_bytes(data)
    with pytest.raises(UserError, match='%s is not of this script' % name):
        prepare()
    assert (tmp_path / 'out' / name).read_bytes() == content
    os.remove(str(tmp_path / 'out' / name))
    prepare()
    assert sorted(os.listdir(str(tmp_path / 'out'))) == ['fetched.tsv', 'thesis.partial',
                                                         'x.jpg.7.partial']


def test_out_is_a_file(prepare, tmp_path):
    (tmp_path / 'out').write_bytes(b'mine')
    with pytest.raises(UserError, match='out is not a folder'):
        prepare()


def test_a_log_names_the_full_disk(prepare):
    with pytest.raises(OSError) as raised:
        download_images.Log('/dev/full', 'ab').add('x', 'y')
    assert raised.value.filename == '/dev/full'


@pytest.mark.slow
def test_damaged_images(prepare):
    """Bytes changed at random: an image, or none. Pillow raises many things; none gets through."""
    whole = [jpeg(0, suffix) for suffix in ('.jpg', '.png', '.webp', '.bmp', '.tif', '.ppm')]
    rng, kept = random.Random(0), 0
    for i in range(3000):
        data = bytearray(whole[i % len(whole)])
        for _ in range(rng.choice((1, 3))):
            data[rng.randrange(min(len(data), 200))] = rng.choice((0, 255, rng.randrange(256)))
        try:
            kept += download_images.suffix_of(bytes(data)) in download_images.SUFFIXES.values()
        except download_images.Failed:
            pass
    assert 100 < kept < 2900
    eps = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n'
    with pytest.raises(download_images.Failed, match='no whole image of a kind'):
        download_images.suffix_of(eps)
