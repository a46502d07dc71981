"""Fetch the images of a list of addresses: photographs for data/prepare_faces.py.

    python data/download_images.py addresses.txt --out photographs

The list has an http or https address on each line; blank lines and lines that begin with # are
passed over. Each image is fetched once, whole, and named after its content, so that the same
image from two addresses is one file. Stopped at any moment, it continues where it was: call it
again. Addresses that failed are tried again then; why they failed is in failed.tsv.

Mind the rights of those who made the images, and of those who are on them.
"""

import errno
import hashlib
import http.client
import io
import os
import re
import signal
import struct
import threading
import time
import urllib.error
import urllib.request
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor, as_completed

import _root  # noqa: F401
from wgan.command_line import (Parser, Progress, UserError, check_output_folder,
                               check_outputs, number, run)
from wgan.disk import remove_left_behind, replacing

from PIL import Image

TRIES = 4                               # of one address, with pauses that double
PAUSE = 0.5                             # seconds before the second try
SILENCE = 10                            # seconds to connect, and between two pieces of an answer
TRY_LATER = (429, 500, 502, 503, 504)   # answers that another try may better
SUFFIXES = {'JPEG': '.jpg', 'PNG': '.png', 'WEBP': '.webp', 'BMP': '.bmp', 'TIFF': '.tif',
            'PPM': '.ppm'}
HEADERS = {'User-Agent': 'Mozilla/5.0 (compatible; download_images.py)', 'Accept': 'image/*'}


FETCHED, FAILED = 'fetched.tsv', 'failed.tsv'           # the logs in the folder
# What Pillow raises, depending on the bytes.
UNREADABLE = (OSError, RuntimeError, ValueError, SyntaxError, TypeError, OverflowError, EOFError,
              LookupError, AttributeError, MemoryError, struct.error, zlib.error,
              Image.DecompressionBombError, Image.DecompressionBombWarning)


class Failed(Exception):
    """Why an address gave no image; `again` says whether another try may help."""

    def __init__(self, why, again=False):
        super().__init__(why)
        self.again = again


def read_list(path):
    """(addresses, refused): each address once, in order; refused has (line, why)."""
    if not os.path.isfile(path):
        raise UserError('%s is not a regular file; name a text file of addresses' % path
                        if os.path.exists(path) else '%s: No such file' % path)
    try:
        with open(path, encoding='utf-8-sig') as lines:
            entries = [line.strip() for line in lines]
    except UnicodeDecodeError:
        raise UserError('%s is no list of addresses in UTF-8' % path)
    entries = [e for e in entries if e and not e.startswith('#')]
    # One with a space or a control character in it can't be asked for, nor logged.
    addresses = [e for e in entries if re.match(r'https?://\S+$', e, re.IGNORECASE)
                 and e.isprintable()]
    if not addresses:
        raise UserError('%s holds no http or https address' % path)
    taken = set(addresses)
    refused = [(e if e.isprintable() else ascii(e), 'no http or https address')
               for e in entries if e not in taken]
    return list(dict.fromkeys(addresses)), refused


class Downloader:
    """Fetches addresses into a folder; `stop` makes what is under way give up."""

    def __init__(self, folder, seconds, max_bytes):
        self.folder, self.seconds, self.max_bytes = folder, seconds, max_bytes
        self.stop = threading.Event()

    def __call__(self, address):
        """The name of the image's file. Raises Failed."""
        if self.stop.is_set():
            raise Failed('stopped')
        deadline = time.monotonic() + self.seconds
        for attempt in range(TRIES):
            try:
                data = self._fetch(address, deadline)
                return self._keep(data, suffix_of(data))
            except Failed as failed:
                pause = PAUSE * 2 ** attempt
                if (not failed.again or attempt == TRIES - 1
                        or time.monotonic() + pause > deadline or self.stop.wait(pause)):
                    raise

    def _fetch(self, address, deadline):
        """The bytes that an address answers with. urllib follows up to ten redirections."""
        try:
            request = urllib.request.Request(address, headers=HEADERS)
            with urllib.request.urlopen(request, timeout=SILENCE) as answer:
                data = b''
                while True:
                    # read1 gives what there is: read would wait for a server that drips.
                    piece = answer.read1(1 << 16)
                    data += piece
                    if not piece:
                        break
                    if len(data) > self.max_bytes:
                        raise Failed('larger than %d MB' % (self.max_bytes >> 20))
                    if time.monotonic() > deadline:
                        raise Failed('not finished after %g seconds' % self.seconds)
                    if self.stop.is_set():
                        raise Failed('stopped')
                if answer.length:               # what was announced and has not come
                    raise Failed('cut off after %d bytes' % len(data), again=True)
                return data
        except urllib.error.HTTPError as error:
            raise Failed('answer %d %s' % (error.code, ' '.join(str(error.reason).split())),
                         again=error.code in TRY_LATER)
        except (http.client.InvalidURL, ValueError) as error:
            raise Failed('no address that can be asked for (%s)' % error)
        except (OSError, http.client.HTTPException) as error:       # no connection, silence …
            raise Failed('connection: %s' % (getattr(error, 'reason', None) or error
                                             or type(error).__name__), again=True)

    def _keep(self, data, suffix):
        """Write aside, then rename: under its own name there is never half an image."""
        name = hashlib.sha256(data).hexdigest()[:24] + suffix
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            with replacing(path) as aside, open(aside, 'wb') as file:
                file.write(data)
        return name


def suffix_of(data):
    """The suffix for an image. Raises Failed if the bytes are none that can be decoded whole."""
    try:
        # Only these kinds: for others Pillow starts other programs.
        with Image.open(io.BytesIO(data), formats=list(SUFFIXES)) as image:
            image.load()
            return SUFFIXES[image.format]
    except UNREADABLE as error:
        raise Failed('no whole image of a kind that training reads (%s)'
                     % (' '.join(str(error).split()) or type(error).__name__))


class Log:
    """A text file of lines with two fields each, which are on the disk when `add` returns."""

    def __init__(self, path, mode):
        self.path, self.file = path, open(path, mode, buffering=0)

    def add(self, *fields):
        line = ('\t'.join(fields) + '\n').encode('utf-8', 'backslashreplace')
        try:
            if self.file.write(line) == len(line):
                return
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            full = error
        raise OSError(full.errno, full.strerror, self.path)


def read_log(folder):
    """Address → file of what is already there. A last line without its end does not count.

    Raises UserError if a file in the folder has the name of a log, and is another.
    """
    path, failed = (os.path.join(folder, name) for name in (FETCHED, FAILED))
    check_outputs(path, failed, force=True)             # they are there if the folder is ours
    if not os.path.exists(path):
        if os.path.exists(failed):
            raise UserError('%s is not of this script; choose another --out' % failed)
        return {}
    try:
        with open(path, encoding='utf-8') as log:
            lines = log.read().rpartition('\n')[0].split('\n')
    except UnicodeDecodeError:
        lines = ['not ours']
    found = [re.fullmatch(r'([0-9a-f]{24}\.\w+)\t(.+)', line) for line in lines if line]
    if not all(found):
        raise UserError('%s is not of this script, or is damaged; choose another --out, or move '
                        'it away' % path)
    return {match.group(2): match.group(1) for match in found
            if os.path.exists(os.path.join(folder, match.group(1)))}


def parse():
    p = Parser(description='Fetch the images of a list of addresses.', usage='%(prog)s LIST '
               '--out DIR [options]')
    p.add_argument('list', metavar='LIST', help='text file with an address on each line')
    p.add_argument('--out', required=True, metavar='DIR', help='folder for the images')
    p.add_argument('--parallel', type=number(int, 1, 64), default=4, help='addresses at a time')
    p.add_argument('--seconds', type=number(float, 0, above=True), default=60, help='at most for '
                   'one address, all tries together')
    p.add_argument('--max-size', type=number(int, 1), default=20, help='of an image, in MB')
    return p.parse_args()


def prepare(options):
    """(addresses, refused lines, address → file of what is there); makes the folder ready."""
    addresses, refused = read_list(options.list)
    check_output_folder(options.out, force=True)        # it continues where it was
    os.makedirs(options.out, exist_ok=True)
    there = read_log(options.out)
    remove_left_behind(options.out)
    with replacing(os.path.join(options.out, FETCHED)) as aside:
        with open(aside, 'w', encoding='utf-8') as log:
            log.writelines('%s\t%s\n' % (name, address) for address, name in there.items())
    return addresses, refused, there


def fetch_all(todo, download, parallel, progress, fetched, failed):
    """Fetch the addresses; returns the names of their files, how many failed, whether stopped.

    fetched, failed: Logs of what came and of what did not.
    """
    names, failures = set(), 0
    pool = ThreadPoolExecutor(parallel)
    try:
        jobs = {pool.submit(download, address): address for address in todo}
        for done, job in enumerate(as_completed(jobs), 1):
            try:
                name = job.result()
                names.add(name)
                fetched.add(name, jobs[job])
            except Failed as why:
                if download.stop.is_set():              # not its fault
                    continue
                failures += 1
                failed.add(jobs[job], str(why))
            progress.show(done, '%d failed' % failures)
        stopped = download.stop.is_set()
    finally:                                            # on a full disk: what is queued gives up
        download.stop.set()
        pool.shutdown()
    return names, failures, stopped


def main():
    options = parse()
    addresses, refused, there = prepare(options)
    todo = [a for a in addresses if a not in there]
    download = Downloader(options.out, options.seconds, options.max_size << 20)
    # Not by KeyboardInterrupt: in the midst of a wait for threads it would leave their locks held.
    signal.signal(signal.SIGINT, lambda *_: download.stop.set())
    warnings.simplefilter('ignore')                     # Pillow's, of what is damaged but read
    warnings.simplefilter('error', Image.DecompressionBombWarning)
    failed = Log(os.path.join(options.out, FAILED), 'wb')
    for line, why in refused:
        failed.add(line, why)
    progress = Progress('fetching', len(todo))
    names, failures, stopped = fetch_all(
        todo, download, options.parallel, progress,
        Log(os.path.join(options.out, FETCHED), 'ab'), failed)
    names.update(there.values())
    if stopped:
        progress.end('stopped; %d images are in %s; call again to continue' % (len(names),
                                                                               options.out))
        return 130                                      # what shells expect after Ctrl-C
    failures += len(refused)
    progress.end('%d addresses: %d images in %s, %d addresses failed%s' % (
        len(addresses) + len(refused), len(names), options.out, failures,
        ' (why: failed.tsv there)' if failures else ''))


if __name__ == '__main__':
    run(main)
