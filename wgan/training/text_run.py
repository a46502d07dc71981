"""The parts of a training that are specific to text: data, networks, samples and scores."""

import os

from wgan.machine import processes
from wgan.datasets.batches import nothing_left, split
from wgan.machine.command_line import UserError, note, one_line
from wgan.generators.evaluation import generated_codes
from wgan.generators.files import GENERATORS, config_of
from wgan.generators.latents import draw_latents
from wgan.datasets.text import (
    Lines, TextBatches, characters_of, decode, known_characters, read_lines, write_lines)
from wgan.scores.text_scores import TextScores, columns

SAMPLES = 64                    # lines


class TextRun:
    """Makes the data, networks, samples and scores of a training on text.

    options: of the training. config: the config.json of a resumed run, or None. make_networks:
    `text_models.networks`.
    characters: the list of characters. score_columns: of scores.csv.
    """

    label_counts = label_names = ()

    def __init__(self, options, config, make_networks):
        self.options, self.make_networks = options, make_networks
        self.characters = known_characters(config or {})
        if config is None and options.start_from is not None:
            self.characters = characters_of_run(options.start_from)
        self.score_columns = columns(options.hold_out > 0)

    def memory_needed(self):
        """Estimates the MB that each process needs for training, to 20 %.

        Measured on a CPU with wgan-gp, without the libraries: 150 times the values of a layer, and
        4 numbers for each weight.
        """
        options = self.options
        values = options.batch_size // processes.COUNT * options.width * options.length
        weights = 100 * options.width ** 2      # of both networks, without the dense layers
        return 4 * (150 * values + 4 * weights) // 2 ** 20

    def make_batches(self, rng):
        """Returns this process's (training minibatches, held-out minibatches or None).

        Raises UserError if there are too few lines.
        """
        options, share = self.options, self.options.batch_size // processes.COUNT
        self.parts = self._read()                   # of all processes
        training, held_out = (part.every(processes.COUNT, processes.RANK) for part in self.parts)
        for part in (training, held_out) if options.hold_out else (training,):
            if not len(part):
                raise nothing_left(options.hold_out, sum(map(len, self.parts)), part.item_name,
                                   part.noun)
        batches = TextBatches(training, share, rng)
        return batches, (TextBatches(held_out, min(share, len(held_out)), rng)
                         if options.hold_out else None)

    def _read(self):
        """Returns (Lines to train on, Lines to hold out), of all processes."""
        options = self.options
        texts = read_lines(options.data, options.length, options.long_lines)
        if self.characters is None:
            self.characters = characters_of(texts)
        allowed = set(self.characters)
        usable = [text for text in texts if allowed.issuperset(text)]
        if len(usable) < len(texts):
            note('%d lines were left out: they have characters that are not among the %d of the '
                 'networks' % (len(texts) - len(usable), len(self.characters) - 1))
        if len(set(''.join(usable))) == 1:
            raise UserError('all lines of %s are made of one character, %s; there is nothing to '
                            'learn' % (one_line(options.data), one_line(usable[0][0])))
        nouns = ('lines to train on' if options.hold_out else 'lines', 'lines to hold out')
        return [Lines(part, self.characters, options.length, options.data, noun)
                for part, noun in zip(split(usable, options.hold_out, options.seed), nouns)]

    def networks(self, rng):
        """Returns (generator, critic). The RandomState rng decides the initial weights."""
        options = self.options
        return self.make_networks(len(self.characters), options.length, options.latent_size,
                                  options.width, rng)

    def facts(self):
        """Returns the facts about the data that config.json has to save, a dict."""
        return {'characters': self.characters}

    def make_scores(self, _, csv):
        options, (training, held_out) = self.options, self.parts
        return TextScores(training, held_out if options.hold_out else None, options.score_count,
                          options.latent_size, options.seed, options.batch_size, csv)

    def samples(self):
        return TextSamples(self.options.latent_size, self.options.seed, self.characters)

    def write_real(self, out, batches):
        """Writes a minibatch of real lines into the RunFolder `out`."""
        codes = batches.next()[0].argmax(axis=1)[:, 0]
        write_lines(out.claim('samples/real.txt'), decode(codes, self.characters))


def characters_of_run(folder):
    """Returns the characters of the run in a folder; None if there is no folder.

    Raises UserError if they are unknown.
    """
    config = config_of(os.path.join(folder, GENERATORS[-1]))
    characters = known_characters(config)
    if characters is None and config.get('settings'):
        raise UserError('--start-from: %s is a run on images; name one on text, or train on images '
                        'without --text' % one_line(folder))
    if characters is None and os.path.isdir(folder):
        raise UserError('--start-from: no config.json in %s says which characters its networks '
                        'know; name the folder of a run on text' % one_line(folder))
    return characters


class TextSamples:
    """SAMPLES lines from the same latents each time."""

    suffix, write = '.txt', staticmethod(write_lines)

    def __init__(self, latent_size, seed, characters):
        self.latents = draw_latents(SAMPLES, latent_size, seed)
        self.characters = characters

    def make(self, generator, batch_size):
        """The lines, a list of texts."""
        return decode(generated_codes(generator, self.latents, batch_size, 'in training'),
                      self.characters)

    def add_to(self, board, lines, step):
        board.add_text('samples', '\n'.join('    ' + line for line in lines), step)
