"""Fetch the pictures of a list of addresses: photographs for data/prepare_faces.py.

    python data/download_images.py addresses.txt --out photographs

The list has an http or https address on each line; blank lines and lines that begin with # are
passed over. Each picture is fetched once, whole, and named after its content, so that the same
picture from two addresses is one file. Stopped at any moment, it goes on where it was: call it
again. Addresses that failed are tried again then; why they failed is in failed.tsv.

Mind the rights of those who made the pictures, and of those who are on them.
"""

import hashlib
import http.client
import io
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
import warnings
from concurrent.futures import ThreadPoolExecutor, as_completed

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
from command_line import Parser, Progress, UserError, number, run       # noqa: E402

from PIL import Image                                                   # noqa: E402

TRIES = 4                               # of one address, with pauses that double
PAUSE = 0.5                             # seconds before the second try
SILENCE = 10                            # seconds to connect, and between two pieces of an answer
TRY_LATER = (429, 500, 502, 503, 504)   # answers that another try may better
SUFFIXES = {'JPEG': '.jpg', 'PNG': '.png', 'WEBP': '.webp', 'BMP': '.bmp', 'TIFF': '.tif',
            'PPM': '.ppm'}
HEADERS = {'User-Agent': 'Mozilla/5.0 (compatible; download_images.py)', 'Accept': 'image/*'}


class Failed(Exception):
    """Why an address gave no picture; `again` says whether another try may help."""

    def __init__(self, why, again=False):
        super().__init__(why)
        self.again = again


def read_list(path):
    """(addresses, refused): each address once, in order; refused has (line, why)."""
    try:
        with open(path, encoding='utf-8') as lines:
            entries = [line.strip() for line in lines]
    except UnicodeDecodeError:
        raise UserError('%s is no list of addresses in UTF-8' % path)
    entries = [e for e in entries if e and not e.startswith('#')]
    addresses = [e for e in entries if e.lower().startswith(('http://', 'https://'))]
    if not addresses:
        raise UserError('%s holds no http or https address' % path)
    refused = [(e, 'no http or https address') for e in entries if e not in set(addresses)]
    return list(dict.fromkeys(addresses)), refused


class Downloader:
    """Fetches addresses into a folder; `stop` makes what is under way give up."""

    def __init__(self, folder, seconds, max_bytes):
        self.folder, self.seconds, self.max_bytes = folder, seconds, max_bytes
        self.stop = threading.Event()

    def __call__(self, address):
        """The name of the picture's file. Raises Failed."""
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
        """Write aside, then rename: under its own name there is never half a picture."""
        name = hashlib.sha256(data).hexdigest()[:24] + suffix
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            partial = '%s.%d.partial' % (path, threading.get_ident())
            with open(partial, 'wb') as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        return name


def suffix_of(data):
    """The suffix for a picture. Raises Failed if the bytes are none that can be decoded whole."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error', Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as picture:
                picture.load()
                return SUFFIXES[picture.format]
    except KeyError:
        raise Failed('a picture of the kind %s, which training can not read' % picture.format)
    except Exception as error:                  # of many types, depending on the bytes
        raise Failed('no whole picture (%s)' % (str(error) or type(error).__name__))


def read_log(path, folder):
    """Address → file of what is already there. A last line without its end does not count."""
    if not os.path.exists(path):
        return {}
    with open(path, encoding='utf-8') as log:
        lines = log.read().rpartition('\n')[0].split('\n')
    fields = [line.split('\t') for line in lines]
    return {address: name for name, address in (f for f in fields if len(f) == 2)
            if os.path.exists(os.path.join(folder, name))}


def parse():
    p = Parser(description='Fetch the pictures of a list of addresses.', usage='%(prog)s LIST '
               '--out DIR [options]')
    p.add_argument('list', metavar='LIST', help='text file with an address on each line')
    p.add_argument('--out', required=True, metavar='DIR', help='folder for the pictures')
    p.add_argument('--parallel', type=number(int, 1, 64), default=4, help='addresses at a time')
    p.add_argument('--seconds', type=number(float, 0, above=True), default=60, help='at most for '
                   'one address, all tries together')
    p.add_argument('--max-size', type=number(int, 1), default=20, help='of a picture, in MB')
    return p.parse_args()


def main():
    options = parse()
    addresses, refused = read_list(options.list)
    os.makedirs(options.out, exist_ok=True)
    for name in os.listdir(options.out):
        if name.endswith('.partial'):           # of an earlier call that was stopped
            os.remove(os.path.join(options.out, name))
    log_path = os.path.join(options.out, 'fetched.tsv')
    there = read_log(log_path, options.out)
    todo = [a for a in addresses if a not in there]
    with open(log_path + '.new', 'w', encoding='utf-8') as log:
        log.writelines('%s\t%s\n' % (name, address) for address, name in there.items())
    os.replace(log_path + '.new', log_path)

    download = Downloader(options.out, options.seconds, options.max_size << 20)
    names, failures = set(there.values()), len(refused)
    progress = Progress('fetching', len(todo))
    # Not by KeyboardInterrupt: in the midst of a wait for threads it would leave their locks held.
    signal.signal(signal.SIGINT, lambda *_: download.stop.set())
    pool = ThreadPoolExecutor(options.parallel)
    with open(log_path, 'a', encoding='utf-8') as log, \
            open(os.path.join(options.out, 'failed.tsv'), 'w', encoding='utf-8') as failed:
        failed.writelines('%s\t%s\n' % pair for pair in refused)
        try:
            jobs = {pool.submit(download, address): address for address in todo}
            for done, job in enumerate(as_completed(jobs), 1):
                try:
                    name = job.result()
                    names.add(name)
                    log.write('%s\t%s\n' % (name, jobs[job]))
                    log.flush()
                except Failed as why:
                    if download.stop.is_set():          # not its fault
                        continue
                    failures += 1
                    failed.write('%s\t%s\n' % (jobs[job], why))
                    failed.flush()
                progress.show(done, '%d failed' % failures)
            stopped = download.stop.is_set()
        finally:                                        # on a full disk: what is queued gives up
            download.stop.set()
            pool.shutdown()
    if stopped:
        progress.end('stopped; %d pictures are in %s; call again to go on' % (len(names),
                                                                              options.out))
        return 130                                      # what shells expect after Ctrl-C
    progress.end('%d addresses: %d pictures in %s, %d addresses failed%s' % (
        len(addresses) + len(refused), len(names), options.out, failures,
        ' (why: failed.tsv there)' if failures else ''))


if __name__ == '__main__':
    run(main)
