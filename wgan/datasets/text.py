"""Reads lines of text into minibatches, and decodes generated lines.

A line has `length` characters. In the networks it is an array (characters, 1, length): the
probabilities of all characters at each place, which are one-hot in a real line. Character number 0
is the END: the line ends before the first one.
"""

import collections
import copy
import hashlib
import os

from wgan.datasets.batches import Batches
from wgan.machine.command_line import RANK, UserError, note, one_line
from wgan.machine.disk import replacing

import numpy as np

END = ''                        # in a list of characters
MOST_CHARACTERS = 2048          # as in the WGAN-GP authors' code
LONG_LINES = ('drop', 'cut')


def read_lines(path, length, long_lines, report=True):
    """Reads the lines of a UTF-8 file, in order, without empty ones.

    long_lines: 'drop' or 'cut', for lines of more than `length` characters.
    report: whether to print the number of lines on stderr.
    Raises UserError if the file does not exist, is no text, or has no line that can be used.
    """
    name = one_line(path)
    if not os.path.isfile(path):
        raise UserError('%s %s; with --text, --data takes a text file, a line an example%s' % (
            name, 'is no regular file' if os.path.exists(path) else 'does not exist',
            '' if os.path.exists(path) else '; data/make_names.py makes one to begin with'))
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise UserError('%s is no UTF-8 text: byte %d is not; convert it with iconv'
                        % (name, error.start))
    if '\0' in text:
        raise UserError('%s is no text: it has zero bytes' % name)
    text = text.replace('\r\n', '\n').replace('\r', '\n')
    all_lines = [line for line in text.split('\n') if line]
    if not all_lines:
        raise UserError('%s is empty' % name)
    lines = [line[:length] for line in all_lines if long_lines == 'cut' or len(line) <= length]
    if not lines:
        raise UserError('all %d lines of %s have more than %d characters; set --length, or '
                        '--long-lines cut' % (len(all_lines), name, length))
    long = sum(len(line) > length for line in all_lines)
    if report and RANK == 0:
        note('found %d lines in %s%s' % (
            len(all_lines), name, '; %d of more than %d characters were %s' % (
                long, length, {'drop': 'left out', 'cut': 'cut'}[long_lines]) if long else ''))
    return lines


def characters_of(lines):
    """Returns END and the most frequent characters of the lines, at most MOST_CHARACTERS in all."""
    counts = collections.Counter(''.join(lines))
    return [END] + sorted(counts, key=lambda c: (-counts[c], c))[:MOST_CHARACTERS - 1]


class Lines:
    """Lines of text. Item i: the numbers of its characters, (length,), uint16.

    texts: the lines. characters: the list of all characters that may occur. source: path of the
    file. noun: name of the items.
    digest: a SHA-256 of the lines, in hexadecimal digits.
    """

    item_name, unreadable = 'lines', ()

    def __init__(self, texts, characters, length, source, noun='lines'):
        self.texts, self.characters, self.source, self.noun = texts, characters, source, noun
        self.codes = encode(texts, characters, length)

    @property
    def digest(self):
        return hashlib.sha256('\n'.join(self.texts).encode('utf-8', 'surrogatepass')).hexdigest()

    def __len__(self):
        return len(self.codes)

    def __getitem__(self, i):
        return self.codes[i]

    def every(self, step, start):
        """Returns Lines of each step-th line, beginning with number `start`."""
        part = copy.copy(self)
        part.texts, part.codes = self.texts[start::step], self.codes[start::step]
        return part


def encode(texts, characters, length):
    """Converts texts to the numbers of their characters: uint16 (N, length)."""
    number = {character: i for i, character in enumerate(characters)}
    codes = np.zeros((len(texts), length), np.uint16)
    for row, text in zip(codes, texts):
        row[:len(text)] = [number[character] for character in text]
    return codes


def decode(codes, characters):
    """Inverse of `encode`: a list of texts, each up to its first END."""
    ends = np.where((codes == 0).any(axis=1), (codes == 0).argmax(axis=1), codes.shape[1])
    return [''.join(characters[c] for c in row[:end]) for row, end in zip(codes, ends)]


class TextBatches(Batches):
    """Minibatches of Lines."""

    def next(self):
        """Returns the next minibatch: (one-hot lines, float32 (batch_size, characters, 1, length);
        empty labels, (batch_size, 0)).
        """
        codes = self.items[self.choose()]
        places = codes[:, None, None, :] == np.arange(len(self.items.characters))[:, None, None]
        return places.astype(np.float32), np.zeros((len(codes), 0), np.float32)


def known_characters(config):
    """Returns the characters in a config.json (a dict); None for a run on images.

    Raises UserError if they are damaged.
    """
    saved = config.get('characters')
    if saved is None:
        return None
    if (isinstance(saved, list) and saved[:1] == [END] and len(set(map(str, saved))) == len(saved)
            and all(isinstance(c, str) and len(c) == 1 for c in saved[1:])):
        return saved
    raise UserError('config.json is damaged: its characters are %s' % one_line(repr(saved))[:80])


def write_lines(path, lines):
    """Writes lines as UTF-8. An existing file stays unchanged if they can't be written."""
    with replacing(path) as aside, open(aside, 'w', encoding='utf-8', newline='\n') as file:
        file.writelines(line + '\n' for line in lines)
