"""Fetch the images of a list of addresses: photographs for data/prepare_faces.py.

    python data/download_images.py addresses.txt --out photographs

The list has an http or https address on each line; next to it, behind a TAB, it may have a caption
or other columns. Blank lines and lines that begin with # are passed over. Each image is fetched
once, whole, and named after its content, so that the same image from two addresses is one file.
Stopped at any moment, it continues where it was: call it again. Addresses that failed are tried
again then; why they failed is in failed.tsv.

Mind the rights of those who made the images, and of those who are on them.
"""

import errno
import hashlib
import http.client
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import _root  # noqa: F401
from wgan.machine import signals
from wgan.machine.command_line import (
    Parser, Progress, UserError, check_output_folder, check_outputs, number, run)
from wgan.machine.disk import remove_left_behind, replacing

import requests
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from wgan.datasets.image_decoder import UnreadableImage, decode
from wgan.datasets.image_files import format_of

# Of one address; 429, 500, 502, 503 and 504 are answers that another try may better.
TRIES = Retry(3, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504))
SILENCE = 10                            # seconds to connect, and between two pieces of an answer
SUFFIXES = {'JPEG': '.jpg', 'PNG': '.png', 'WebP': '.webp', 'GIF': '.gif', 'TIFF': '.tif',
            'BMP': '.bmp', 'JPEG 2000': '.jp2', 'Netpbm': '.ppm', 'Sun raster': '.ras'}
HEADERS = {'User-Agent': 'Mozilla/5.0 (compatible; download_images.py)', 'Accept': 'image/*',
           'Accept-Encoding': 'identity'}
PAGE = re.compile(br'\s*<(!doctype html|html|head|body)', re.IGNORECASE)
FETCHED, FAILED = 'fetched.tsv', 'failed.tsv'           # the logs in the folder


class Failed(Exception):
    """Why an address gave no image; `again` says whether another try may help, `after` in how many
    seconds the server wants it, if it says so.
    """

    def __init__(self, why, again=False, after=None):
        super().__init__(why)
        self.again, self.after = again, after


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
    addresses, refused = {}, []
    for entry in (e for e in entries if e and not e.startswith('#')):
        address = next((field.strip() for field in entry.split('\t')
                        if re.match(r'https?://.', field.strip(), re.IGNORECASE)), None)
        if address is None:
            refused.append((entry, 'no http or https address'))
        elif not re.fullmatch(r'\S+', address) or not address.isprintable():
            refused.append((address, 'an address has no space or control character in it: write '
                            '%20 for a space, and a TAB before a caption'))
        else:
            addresses.setdefault(address)
    if not addresses:
        raise UserError('%s holds no http or https address%s' % (
            path, ' that can be asked for: ' + refused[0][1] if any(
                '://' in entry for entry, _ in refused) else ''))
    return list(addresses), [(e if e.isprintable() else ascii(e), why) for e, why in refused]


class Downloader:
    """Fetches addresses into a folder; `stop` makes what is under way give up."""

    def __init__(self, folder, seconds, max_bytes):
        self.folder, self.seconds, self.max_bytes = folder, seconds, max_bytes
        self.stop = threading.Event()
        self.decoding = threading.Lock()    # in which stderr is held back, in all threads

    def __call__(self, address):
        """The name of the image's file. Raises Failed."""
        if self.stop.is_set():
            raise Failed('stopped')
        deadline, tries = time.monotonic() + self.seconds, TRIES
        while True:
            try:
                data, content_type = self._fetch(address, deadline)
                with self.decoding:
                    suffix = suffix_of(data, content_type)
                return self._keep(data, suffix)
            except Failed as failed:
                if not failed.again or not tries.total:
                    raise
                tries = tries.increment()
                pause = failed.after or tries.get_backoff_time()
                if time.monotonic() + pause > deadline:
                    raise Failed('%s; another try would be after the --seconds of an address%s' % (
                        failed, ': the server wants it in %d seconds' % pause if failed.after
                        else ''))
                if self.stop.wait(pause):
                    raise

    def _fetch(self, address, deadline):
        """(the bytes that an address answers with, what kind of content the server calls them)."""
        try:
            with requests.get(address, headers=HEADERS, timeout=SILENCE, stream=True,
                              hooks={'response': _without_content_of_redirections}) as answer:
                if not answer.ok:
                    raise Failed('answer %d %s' % (answer.status_code,
                                                   ' '.join(str(answer.reason).split())),
                                 again=answer.status_code in TRIES.status_forcelist,
                                 after=_retry_after(answer))
                data = self._read(answer.raw, deadline)
                announced = answer.headers.get('Content-Length', '')
                if announced.isdigit() and len(data) < int(announced):
                    raise Failed('cut off after %d bytes' % len(data), again=True)
                return data, answer.headers.get('Content-Type', '').partition(';')[0].strip()
        except requests.TooManyRedirects as error:
            raise Failed('redirected without end (%s)' % error)
        # Some that requests leaves to urllib3 or to Python: a port of letters, a host too long …
        except (ValueError, HTTPError) as error:
            raise Failed('no address that can be asked for (%s)' % error)
        except (OSError, http.client.HTTPException) as error:       # no connection, silence …
            raise Failed(_connection(error), again=True)

    def _read(self, raw, deadline):
        data = b''
        while True:
            # urllib3 has no read1, which gives what there is: read waits for a server that drips.
            piece = raw._fp.read1(1 << 16)
            data += piece
            if not piece:
                return data
            if len(data) > self.max_bytes:
                raise Failed('larger than %d MB' % (self.max_bytes >> 20))
            if time.monotonic() > deadline:
                raise Failed('not finished after %g seconds' % self.seconds)
            if self.stop.is_set():
                raise Failed('stopped')

    def _keep(self, data, suffix):
        """Write aside, then rename: under its own name there is never half an image."""
        name = hashlib.sha256(data).hexdigest()[:24] + suffix
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            with replacing(path) as aside, open(aside, 'wb') as file:
                file.write(data)
        return name


def _without_content_of_redirections(answer, **_):
    """A hook of requests, which would read it to its end: there may be none."""
    if answer.is_redirect:
        answer.close()


def _retry_after(answer):
    """The seconds of a Retry-After header, or None."""
    try:
        return TRIES.get_retry_after(answer.raw)
    except HTTPError:                                   # it is neither a number nor a date
        return None


def _connection(error):
    reason = error.args[0] if error.args else error
    reason = getattr(reason, 'reason', reason)          # urllib3's, of what requests raises
    return 'connection: %s' % (' '.join(str(reason).split()) or type(error).__name__)


def suffix_of(data, content_type=''):
    """The suffix for an image. Raises Failed if training does not read these bytes.

    content_type: what the server calls it.
    """
    if PAGE.match(data) or content_type == 'text/html' and format_of(data) is None:
        raise Failed('a page came in the place of an image')
    try:
        decode(data)
    except UnreadableImage as error:
        raise Failed('no whole image of a kind that training reads (%s)' % error)
    return SUFFIXES[format_of(data)]


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
    matches = [re.fullmatch(r'([0-9a-f]{24}\.\w+)\t(.+)', line) for line in lines if line]
    if not all(matches):
        raise UserError('%s is not of this script, or is damaged; choose another --out, or move '
                        'it away' % path)
    return {match.group(2): match.group(1) for match in matches
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
            with download.decoding:
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
    failed = Log(os.path.join(options.out, FAILED), 'wb')
    for line, why in refused:
        failed.add(line, why)
    progress = Progress('fetching', len(todo))
    # Stopped in the midst of a wait for threads would leave their locks held.
    with signals.Stop(then=download.stop.set) as stop:
        names, failures, stopped = fetch_all(
            todo, download, options.parallel, progress,
            Log(os.path.join(options.out, FETCHED), 'ab'), failed)
    names.update(there.values())
    if stopped:
        progress.end('stopped; %d images are in %s; call again to continue' % (len(names),
                                                                               options.out))
        return 128 + stop.requested
    failures += len(refused)
    progress.end('%d addresses: %d images in %s, %d addresses failed%s' % (
        len(addresses) + len(refused), len(names), options.out, failures,
        ' (why: failed.tsv there)' if failures else ''))


if __name__ == '__main__':
    run(main)
