"""Lines of a text file to minibatches, and what a generator makes to lines.

A line is `length` characters. In the networks it is an array (characters, 1, length): for each
place the probabilities of all characters, in a real line 1 for its own. Character number 0 is the
END; what follows the first one is no part of the line.
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
MOST_CHARACTERS = 2048          # as the authors of WGAN-GP have it
LONG_LINES = ('drop', 'cut')


def read_lines(path, length, long_lines, report=True):
    """The lines of a UTF-8 file, without empty ones, in their order.

    long_lines: what becomes of lines of more than `length` characters: 'drop' or 'cut'.
    report: whether to say, in a line on stderr, what was read and what was left out.
    Raises UserError if there is no such file, it is no text, or no line is left.
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
    """All characters of the lines, the most frequent ones first, after END; at most
    MOST_CHARACTERS.
    """
    counts = collections.Counter(''.join(lines))
    return [END] + sorted(counts, key=lambda c: (-counts[c], c))[:MOST_CHARACTERS - 1]


class Lines:
    """Lines of text. Item i: the numbers of its characters, (length,), uint16.

    texts: the lines. characters: a list of them; each character of a text is one. source: where
    they are from. noun: what to call them.
    digest: a SHA-256 in hexadecimal digits, by which they are known again.
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
        """Each step-th of the lines, from the first on."""
        part = copy.copy(self)
        part.texts, part.codes = self.texts[start::step], self.codes[start::step]
        return part


def encode(texts, characters, length):
    """Texts as the numbers of their characters: uint16 (N, length)."""
    number = {character: i for i, character in enumerate(characters)}
    codes = np.zeros((len(texts), length), np.uint16)
    for row, text in zip(codes, texts):
        row[:len(text)] = [number[character] for character in text]
    return codes


def decode(codes, characters):
    """Inverse of `encode`: a list of texts. What follows the first END is left out."""
    ends = np.where((codes == 0).any(axis=1), (codes == 0).argmax(axis=1), codes.shape[1])
    return [''.join(characters[c] for c in row[:end]) for row, end in zip(codes, ends)]


class TextBatches(Batches):
    """Minibatches of Lines."""

    def next(self):
        """The next minibatch: (float32 (batch_size, characters, 1, length), 1 where a line has the
        character; no labels, (batch_size, 0)).
        """
        codes = self.items[self.choose()]
        places = codes[:, None, None, :] == np.arange(len(self.items.characters))[:, None, None]
        return places.astype(np.float32), np.zeros((len(codes), 0), np.float32)


def known_characters(config):
    """The characters that a config.json (a dict) knows of; None, if its run was on images.

    Raises UserError if they are not what a run wrote.
    """
    saved = config.get('characters')
    if saved is None:
        return None
    if (isinstance(saved, list) and saved[:1] == [END] and len(set(map(str, saved))) == len(saved)
            and all(isinstance(c, str) and len(c) == 1 for c in saved[1:])):
        return saved
    raise UserError('config.json is damaged: its characters are %s' % one_line(repr(saved))[:80])


def write_lines(path, lines):
    """Write lines as UTF-8. What was there before is left alone if it can't be written."""
    with replacing(path) as aside, open(aside, 'w', encoding='utf-8', newline='\n') as file:
        file.writelines(line + '\n' for line in lines)
