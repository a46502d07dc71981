"""Cut faces out of photographs: a data set for wgan_training.py.

    python data/prepare_faces.py photographs --out data/faces --size 64

Finds faces with OpenCV's Haar cascade (Viola and Jones 2001, 'Rapid Object Detection using a
Boosted Cascade of Simple Features'), removes false detections and near-duplicates, and writes
single images and map.txt into --out, and contact sheets beside it. If it was stopped, call it
again to continue.
"""

import collections
import contextlib
import itertools
import json
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor

try:
    import fcntl
except ImportError:         # Windows: it stays, since CNTK has packages for it; it was not tried
    fcntl = None

import _root  # noqa: F401
from wgan.machine.command_line import (
    Parser, Progress, UserError, note, number, one_line, report, run)

import cv2
import numpy as np

from wgan.machine.disk import remove_left_behind
from wgan.datasets.images import grid, resize_square, write_image
from wgan.datasets.image_decoder import (
    ImageReader, UnreadableImage, decode, decode_image, read_file)
from wgan.datasets.image_files import find_images
from wgan.machine.signals import Stop, Stopped

SCALE_FACTOR, NEIGHBOURS = 1.1, 5           # of the cascade, as in the article's Part 1
# A further face in a photograph must have this part of the best one's detection weight × width:
# collars, ties and medals are found too, but smaller and with less weight.
SECOND_FACE = 0.4
# Near-duplicates differ in at most so many of the 64 bits of a perceptual hash and of the 968 of a
# block mean hash. Of 539 portraits no two are as near; photographs saved again, smaller, are.
PHASH_BITS, BLOCK_BITS = 8, 40
SHEET_COLUMNS, SHEET_ROWS, THUMBNAIL = 20, 10, 64
JOURNAL = 'unfinished.jsonl'                # what was done, while it is not all


class Finder(threading.local):
    """Faces in a photograph, RGB, uint8: a list of boxes (left, top, side), best first.

    Each thread that calls it has cascades of its own.

    The cascade finds all faces that look ahead, and other things besides. So a face must be found
    once more in its own surroundings, by a second cascade that was trained otherwise; boxes that
    overlap are one face, the one with the larger detection weight × width.
    """

    def __init__(self, min_face):
        self.min_face = min_face
        self.detector, self.verifier = (cv2.CascadeClassifier(os.path.join(
            cv2.data.haarcascades, 'haarcascade_frontalface_%s.xml' % name))
            for name in ('default', 'alt2'))

    def __call__(self, photograph):
        grey = cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY)
        boxes, _, weights = self.detector.detectMultiScale3(
            grey, SCALE_FACTOR, NEIGHBOURS, minSize=(self.min_face,) * 2, outputRejectLevels=True)
        scored = sorted(((float(weight) * int(side), int(left), int(top), int(side))
                         for (left, top, side, _), weight in zip(boxes, np.ravel(weights))),
                        reverse=True)
        faces = []
        for score, *box in scored:
            if (score >= SECOND_FACE * scored[0][0] and not any(_overlap(box, f) for f in faces)
                    and self._confirmed(grey, box)):
                faces.append(box)
        return faces

    def _confirmed(self, grey, box):
        left, top, side = box
        around = side // 4
        part = grey[max(0, top - around):top + side + around,
                    max(0, left - around):left + side + around]
        return len(self.verifier.detectMultiScale(part, SCALE_FACTOR, 3,
                                                  minSize=(side // 2,) * 2)) > 0


def _overlap(a, b):
    """Whether two boxes share more than a fifth of the smaller one."""
    width, height = (min(a[i] + a[2], b[i] + b[2]) - max(a[i], b[i]) for i in (0, 1))
    return width > 0 and height > 0 and width * height > 0.2 * min(a[2], b[2]) ** 2


def cut(photograph, box, margin, size):
    """The square around a face, RGB, uint8, (size, size, 3); pushed back where it leaves the
    photograph. margin: what is added on each side, as a part of the face's width.
    """
    height, width = photograph.shape[:2]
    left, top, side = box
    wanted = min(int(round(side * (1 + 2 * margin))), height, width)
    x = min(max(left + (side - wanted) // 2, 0), width - wanted)
    y = min(max(top + (side - wanted) // 2, 0), height - wanted)
    return resize_square(photograph[y:y + wanted, x:x + wanted], size)


class Seen:
    """Perceptual hashes of images, to find near-duplicates."""

    ONES = np.array([bin(i).count('1') for i in range(256)], np.uint16)

    def __init__(self):
        self.names, self.phashes, self.blocks = [], [], []

    def earlier(self, name, hashes):
        """Returns the name of an earlier near-duplicate, or None. Then it adds the image."""
        phash, block = hashes
        if self.names:
            near = np.flatnonzero(self._bits(self.phashes, phash) <= PHASH_BITS)
            for i in near:
                if self._bits([self.blocks[i]], block)[0] <= BLOCK_BITS:
                    return self.names[i]
        self.names.append(name)
        self.phashes.append(phash)
        self.blocks.append(block)
        return None

    def _bits(self, many, one):
        return self.ONES[np.bitwise_xor(np.array(many), one)].sum(axis=1)


def hashes(image):
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return [h.compute(bgr)[0] for h in (cv2.img_hash.PHash_create(),
                                        cv2.img_hash.BlockMeanHash_create(1))]


# The result for a photograph. hashes: None if it can't be read; then the remark says why. faces:
# [(face, hashes) …]; the face is None if its file is already written.
Found = collections.namedtuple('Found', 'path remark hashes faces')


def search(paths, options):
    """Yields Found for each of the paths, in their order.

    It decodes here, and searches in a thread for each core: OpenCV lets other threads run. After a
    signal, the next call raises Stopped: a signal that raised at once could leave a lock of the
    threads taken, and the program would wait for it for ever.
    """
    threads, finder = os.cpu_count(), Finder(options.min_face)
    cv2.setNumThreads(1)
    with Stop() as stop, ThreadPoolExecutor(threads) as pool:
        jobs = (_begin(pool, path, finder, options) for path in paths)
        waiting = collections.deque(itertools.islice(jobs, 2 * threads))
        try:
            while waiting:
                yield waiting.popleft().result()
                if stop.requested:
                    raise Stopped(stop.requested)
                waiting.extend(itertools.islice(jobs, 1))
        finally:
            for job in waiting:
                job.cancel()


def _begin(pool, path, finder, options):
    """Decodes a photograph and has a thread look for faces in it. Returns the future Found."""
    try:
        photograph, remark = decode(read_file(path))
    except UnreadableImage as error:
        return pool.submit(Found, path, str(error), None, [])
    return pool.submit(_look, path, photograph, remark, finder, options)


def _look(path, photograph, remark, finder, options):
    faces = [cut(photograph, box, options.margin, options.size) for box in finder(photograph)]
    return Found(path, remark, hashes(photograph), [(face, hashes(face)) for face in faces])


class Journal:
    """The file JOURNAL in a folder: the settings, then a line for each photograph that is done.

    It is locked. Raises UserError if another process has it.
    """

    def __init__(self, folder, options):
        self.folder, self.file = folder, open(os.path.join(folder, JOURNAL), 'a+b')
        self.settings = json.dumps([options.size, options.margin, options.min_face,
                                    options.format]).encode()
        try:
            if fcntl:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError('another process writes faces into %s; wait for its end, or choose '
                            'another --out' % one_line(options.out))

    def begin(self, paths):
        """Returns the Found of photographs that are already done, and removes later lines.

        These are the first photographs of the list, up to the first change. After a change,
        duplicates may differ. If the settings changed, no photograph counts as done.
        """
        self.file.seek(0)
        settings, *lines = self.file.read().split(b'\n')[:-1] or [self.settings]
        done, size = [], 0
        if settings != self.settings:
            note('the settings are others than before: all photographs are searched again')
            lines = []
        for path, line in zip(paths, lines):            # half a line, as a kill leaves it, is gone
            name, state, names, *rest = json.loads(line.decode())
            if (name != os.fsencode(path).hex() or state != _state(path)
                    or not all(os.path.isfile(os.path.join(self.folder, n)) for n in names)):
                break
            done.append(_unpacked(path, *rest))
            size += len(line) + 1
        size = len(self.settings) + 1 + size
        self.file.truncate(size if done else 0)
        if not done:
            self.file.write(self.settings + b'\n')
        return done

    def add(self, photograph, names):
        """Adds a photograph whose faces are written, in files of these names."""
        self.file.write(json.dumps([
            os.fsencode(photograph.path).hex(), _state(photograph.path), names, photograph.remark,
            photograph.hashes and _in_digits(photograph.hashes),
            [_in_digits(its_hashes) for _, its_hashes in photograph.faces]]).encode() + b'\n')
        self.file.flush()

    def end(self, names):
        """Deletes the journal, and faces with other names, whose photographs are gone."""
        for name in os.listdir(self.folder):
            if re.match(r'\d{6}_', name) and name not in set(names):
                os.remove(os.path.join(self.folder, name))
        os.remove(self.file.name)


def _state(path):
    """Returns size and modification time, to detect a changed file."""
    with contextlib.suppress(OSError):
        status = os.stat(path)
        return [status.st_size, status.st_mtime_ns]


def _in_digits(its_hashes):
    return [part.tobytes().hex() for part in its_hashes]


def _unpacked(path, remark, photograph, faces):
    def array(digits):
        return [np.frombuffer(bytes.fromhex(part), np.uint8) for part in digits]

    return Found(path, remark, photograph and array(photograph),
                 [(None, array(digits)) for digits in faces])


def prepare(paths, options, folder, journal):
    """Writes the faces of all photographs into the folder. Returns the counts, by result, and the
    names of the faces.
    """
    done = journal.begin(paths)
    if done:
        note('continuing after %d photographs that are done' % len(done))
    with open(os.path.join(folder, 'left_out.tsv'), 'w', encoding='utf-8') as left_out, \
            contextlib.closing(search(paths[len(done):], options)) as results:
        counts, names = keep_faces(done, results, len(paths), options, folder, left_out, journal)
    if not names:
        journal.end(names)
        os.remove(left_out.name)
        with contextlib.suppress(OSError):                  # there is more in it
            os.rmdir(folder)
        raise UserError('no face was found in the %d photographs of %s; faces have to look ahead '
                        'and be at least %d pixels wide: try a smaller --min-face, or larger '
                        'photographs' % (counts['read'], one_line(options.photos),
                                         options.min_face))
    with open(os.path.join(folder, 'map.txt'), 'w', encoding='utf-8') as lines:
        lines.writelines(name + '\t0\n' for name in names)
    return counts, names


def keep_faces(done, results, total, options, folder, left_out, journal):
    """Write the faces that were found, except for duplicates; returns as `prepare`.

    done, results: what was Found before, and what is found now.
    """
    counts = dict.fromkeys(('read', 'unreadable', 'without a face', 'with several faces',
                            'duplicate photographs', 'duplicate faces', 'faces'), 0)
    photographs, face_hashes, names, reader = Seen(), Seen(), [], ImageReader()
    progress = Progress('looking for faces', total, len(done))

    def leave_out(path, why):
        left_out.write('%s\t%s\n' % (one_line(path), why))

    def keep(path, remark, photograph, faces):
        written = []
        if photograph is None:
            counts['unreadable'] += 1
            leave_out(path, 'unreadable: ' + remark)
            return written
        reader.remark(path, remark)
        counts['read'] += 1
        twin = photographs.earlier(path, photograph)
        if twin:
            counts['duplicate photographs'] += 1
            leave_out(path, 'nearly the same as ' + one_line(twin))
            return written
        counts['without a face'] += not faces
        counts['with several faces'] += len(faces) > 1
        if not faces:
            leave_out(path, 'no face found')
        for face, its_hashes in faces:
            name = name_of_face(path, len(names), options.format)
            twin = face_hashes.earlier(name, its_hashes)
            if twin:
                counts['duplicate faces'] += 1
                leave_out(path, 'face nearly the same as ' + twin)
                continue
            if face is not None:
                write_image(os.path.join(folder, name), face)
            names.append(name)
            written.append(name)
        return written

    for result in done:
        keep(*result)
    try:
        for number_done, result in enumerate(results, len(done) + 1):
            journal.add(result, keep(*result))
            progress.show(number_done, '%d faces' % len(names))
    except Stopped:
        progress.end('stopped; %d faces are in %s; call again to continue' % (
            len(names), one_line(options.out)))
        raise
    counts['faces'] = len(names)
    progress.end('%d faces from %d photographs' % (len(names), counts['read']))
    reader.warn()
    return counts, names


def name_of_face(photograph, number, suffix):
    """'000012_name of the photograph.jpg', of characters and a length that any system takes."""
    stem = os.path.splitext(os.path.basename(photograph))[0]
    return '%06d_%s.%s' % (number, re.sub(r'[^\w .-]', '_', stem)[:50], suffix)


def write_contact_sheets(faces_folder, names, folder):
    """All faces, 200 to a sheet, each with its number: to look through and find the wrong ones."""
    os.makedirs(folder, exist_ok=True)
    page = SHEET_COLUMNS * SHEET_ROWS
    for start in range(0, len(names), page):
        thumbnails = []
        for i, name in enumerate(names[start:start + page], start):
            face = resize_square(decode_image(os.path.join(faces_folder, name)), THUMBNAIL)
            cv2.putText(face, str(i), (1, THUMBNAIL - 3), cv2.FONT_HERSHEY_PLAIN, 0.7,
                        (255, 255, 0), 1, cv2.LINE_AA)
            thumbnails.append(face)
        write_image(os.path.join(folder, 'sheet_%03d.jpg' % (start // page + 1)),
                    grid(np.stack(thumbnails), SHEET_COLUMNS, border=1))


def parse():
    p = Parser(description='Cut faces out of photographs.', usage='%(prog)s PHOTOS --out FACES '
               '[options]')
    p.add_argument('photos', metavar='PHOTOS', help='folder of photographs, searched through, or '
                   'a map file; what is transparent in them becomes white')
    p.add_argument('--out', required=True, metavar='FACES', help='folder to write; contact sheets '
                   'go to FACES-sheets')
    p.add_argument('--size', type=number(int, 8), default=128, help='width and height of the faces')
    p.add_argument('--margin', type=number(float, 0, 2), default=0.25, help='what to take around '
                   'a face on each side, as a part of its width')
    p.add_argument('--min-face', type=number(int, 20), default=50, help='smallest face to look '
                   'for, in pixels of the photograph')
    p.add_argument('--format', choices=('jpg', 'png'), default='jpg', help='of the faces')
    return p.parse_args()


def main():
    options = parse()
    source, out = (os.path.realpath(p) for p in (options.photos, options.out))
    sheets = out + '-sheets'
    if os.path.isdir(source) and (out + os.sep).startswith(source + os.sep):
        raise UserError('--out %s is in the folder of the photographs, and would be searched with '
                        'it; choose another' % options.out)
    for path in (out, sheets) if not os.path.isfile(os.path.join(out, JOURNAL)) else ():
        if os.path.exists(path) and not (os.path.isdir(path) and not os.listdir(path)):
            raise UserError('%s exists already; delete it, or choose another --out' % path)
    paths = find_images(options.photos, 'PHOTOS')
    os.makedirs(out, exist_ok=True)
    journal = Journal(out, options)
    remove_left_behind(out)
    counts, names = prepare(paths, options, out, journal)
    write_contact_sheets(out, names, sheets)
    journal.end(names)
    for name, count in counts.items():
        report('%-22s %6d' % (name, count))
    report('look through %s, delete wrong faces from %s, and train with: wgan_training.py --data %s'
           % (one_line(sheets), one_line(options.out), one_line(options.out)))


if __name__ == '__main__':
    run(main)
