"""Lines of a file to arrays and back; text as a training has it, from the command line."""

import json
import os
import signal

import numpy as np
import pytest

from helpers import (
    assert_same_run, call_program, losses, rows, start_training, tree, wait_for, write_images)
from wgan.datasets import text
from wgan.machine.command_line import UserError
from wgan.training.options import parse
from wgan.datasets.text import Lines, TextBatches, characters_of, decode, encode, read_lines

SMALL = ['--text', '--length', 6, '--width', 4, '--latent-size', 5, '--batch-size', 4,
         '--n-critic', 2, '--score-count', 10]
GENERATORS = ('wgan_generator.model', 'wgan_generator_average.model')


@pytest.fixture
def names(tmp_path):
    """names.txt: 60 lines of 1 to 6 of the characters a, b, c and é."""
    rng = np.random.RandomState(0)
    lines = [''.join(rng.choice(list('aaabbcé'), rng.randint(1, 7))) for _ in range(60)]
    path = tmp_path / 'names.txt'
    path.write_bytes('\n'.join(lines).encode())
    return path


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """A folder with names.txt and the run `run`, of four iterations."""
    folder, rng = tmp_path_factory.mktemp('text'), np.random.RandomState(1)
    (folder / 'names.txt').write_text('\n'.join(
        ''.join(rng.choice(list('abcd'), rng.randint(2, 7))) for _ in range(80)))
    before = os.getcwd()
    os.chdir(str(folder))
    try:
        assert call_program('wgan_training.py', '--data', 'names.txt', '--out', 'run',
                            '--iterations', 4, '--sample-every', 2, '--score-every', 2,
                            '--checkpoint-every', 2, *SMALL) == 0
    finally:
        os.chdir(before)
    return folder


# Reading

@pytest.mark.parametrize('content, lines', [
    (b'ab\ncd\n', ['ab', 'cd']), (b'ab\r\ncd', ['ab', 'cd']), (b'ab\rcd\r', ['ab', 'cd']),
    (b'\xef\xbb\xbfab\n\n\n b\t\n', ['ab', ' b\t']), ('né\u2028\n日本'.encode(), ['né\u2028', '日本']),
])
def test_lines_of_a_file(tmp_path, content, lines):
    path = tmp_path / 'x.txt'
    path.write_bytes(content)
    assert read_lines(str(path), 9, 'drop') == lines


def test_long_lines_are_counted(tmp_path, capsys):
    path = tmp_path / 'x.txt'
    path.write_text('abc\nabcd\nabcde\nab\n')
    assert read_lines(str(path), 3, 'drop') == ['abc', 'ab']
    assert '2 of more than 3 characters were left out' in capsys.readouterr().err
    assert read_lines(str(path), 3, 'cut') == ['abc', 'abc', 'abc', 'ab']
    assert 'found 4 lines in' in capsys.readouterr().err


@pytest.mark.parametrize('content, said', [
    (b'', 'is empty'), (b'\n\r\n', 'is empty'), (b'ab\xff\n', 'no UTF-8 text: byte 2'),
    (b'\x89PNG\r\n', 'no UTF-8 text'), (b'ab\0\n', 'zero bytes'),
    (b'abcdefg\nabcdefgh\n', 'all 2 lines'), (None, 'does not exist'),
])
def test_what_is_no_text(tmp_path, content, said):
    path = tmp_path / 'x.txt'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=said):
        read_lines(str(path), 5, 'drop')


def test_characters_by_frequency():
    assert characters_of(['bab', 'cb', 'a']) == ['', 'b', 'a', 'c']
    many = [chr(0x4e00 + i) for i in range(3000)]
    assert len(characters_of(many)) == text.MOST_CHARACTERS


def test_encoding_and_back():
    rng = np.random.RandomState(0)
    for _ in range(50):
        lines = [''.join(rng.choice(list('xyz é'), rng.randint(0, 8))) for _ in range(9)]
        characters = characters_of(lines + ['xyz é'])
        codes = encode(lines, characters, 7)
        assert codes.shape == (9, 7) and decode(codes, characters) == lines
    assert decode(np.array([[1, 0, 2], [0, 1, 1]]), ['', 'a', 'b']) == ['a', '']    # up to the end


def test_batches():
    lines = Lines(['ab', 'b', 'abb'], ['', 'b', 'a'], 4, 'x.txt')
    batches = TextBatches(lines, 3, np.random.RandomState(0))
    arrays, labels = batches.next()
    assert arrays.shape == (3, 3, 1, 4) and arrays.dtype == np.float32 and labels.shape == (3, 0)
    assert (arrays.sum(axis=1) == 1).all()
    assert sorted(decode(arrays.argmax(axis=1)[:, 0], lines.characters)) == ['ab', 'abb', 'b']
    with pytest.raises(UserError, match='--batch-size is 4, but x.txt has only 3 readable lines'):
        TextBatches(lines, 4, np.random.RandomState(0))


# A run

@pytest.mark.slow
def test_what_a_run_writes(made):
    run = made / 'run'
    assert len(losses(run)) == 4 and 'wasserstein_held_out' in losses(run)
    for name in GENERATORS + (
            'samples/real.txt', 'samples/step_000002.txt', 'samples/step_000004.txt', 'scores.csv',
            'scores.png', 'losses.png', 'wgan_generator_best.model'):
        assert (run / name).is_file(), name
    lines = (run / 'samples' / 'step_000004.txt').read_text().split('\n')
    assert len(lines) == 65 and all(len(line) <= 6 for line in lines)
    assert not (run / 'training.gif').exists()
    about = json.loads((run / 'config.json').read_text())
    assert about['characters'][0] == '' and sorted(about['characters'][1:]) == list('abcd')
    assert (about['lines'], about['held_out_lines']) == (72, 8)
    assert about['settings']['latent_size'] == 5 and about['settings']['image_size'] is None
    head = (run / 'scores.csv').read_text().split('\n')[0]
    assert head == ('step,js_1,js_2,js_3,js_4,in_training,distinct,js_1_held_out,js_2_held_out,'
                    'js_3_held_out,js_4_held_out,in_training_held_out,distinct_held_out,data_since')


@pytest.mark.parametrize('arguments, expected', [
    (['--text'], (5e-4, 0.5, 0.9)), (['--text', '--beta2', '0.99'], (5e-4, 0.5, 0.99)),
    (['--text', '--objective', 'gan'], (2e-4, 0.5, 0.999)),
    (['--text', '--objective', 'wgan'], (5e-5, None, None))])
def test_defaults_of_text(arguments, expected):
    options = parse(arguments)
    assert (options.learning_rate, options.beta1, options.beta2) == expected
    assert (options.length, options.width, options.latent_size, options.batch_size,
            options.hold_out, options.data) == (10, 64, 128, 64, 0.1, 'data/names.txt')


def test_preset_of_the_original():
    options = parse(['--preset', 'gan-language', '--width', '64'])
    assert (options.text, options.length, options.width, options.n_critic, options.long_lines,
            options.learning_rate, options.beta2) == (True, 32, 64, 10, 'cut', 1e-4, 0.9)


@pytest.mark.slow
@pytest.mark.parametrize('objective', ['wgan-gp', 'wgan'])          # each learner
def test_resumed_is_the_same_as_uninterrupted(script, names, tmp_path, objective):
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    start = ['--data', names, '--objective', objective, '--score-every', 2, '--sample-every', 2]
    for run, iterations in ((whole, 6), (parts, 3)):
        result = script('wgan_training.py', '--out', run, '--iterations', iterations, *start,
                        *SMALL)
        assert result.code == 0, result.err
    assert script('wgan_training.py', '--out', parts, '--iterations', 6, '--resume').code == 0
    assert_same_run(whole, parts)
    for name in ('samples/step_000006.txt', 'samples/real.txt'):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()
    assert (whole / 'scores.csv').read_text().split('\n')[-2:] == (
        parts / 'scores.csv').read_text().split('\n')[-2:]


@pytest.mark.slow
def test_killed_and_resumed(names, tmp_path, script):
    start = ['--data', names, '--checkpoint-every', 2, '--iterations', 8] + SMALL
    assert script('wgan_training.py', '--out', 'whole', *start).code == 0
    process = start_training(tmp_path, '--out', 'run', *start)
    wait_for(lambda: rows(tmp_path / 'run') >= 3, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert script('wgan_training.py', '--out', 'run', '--resume').code == 0
    assert_same_run(tmp_path / 'whole', tmp_path / 'run')


# Lines of a generator

def read(path):
    return path.read_text(encoding='utf-8').split('\n')[:-1]


@pytest.mark.slow
def test_lines_of_a_generator(made, script, monkeypatch):
    monkeypatch.chdir(made)
    for model in ('run', 'run/wgan_generator.model'):
        assert script('wgan_generate.py', model, '--count', 30, '--out', 'a.txt',
                      '--force').code == 0
    lines = read(made / 'a.txt')
    assert len(lines) == 30 and all(set(line) <= set('abcd') and len(line) <= 6 for line in lines)
    assert script('wgan_export.py', 'run/wgan_generator.model', '--out', 'g.onnx',
                  '--force').code == 0
    assert script('wgan_generate.py', 'g.onnx', '--count', 30, '--out', 'b.txt',
                  '--force').code == 0
    assert read(made / 'b.txt') == lines
    assert script('wgan_walk.py', 'run', '--count', 3, '--steps', 5, '--out', 'w.txt',
                  '--save-latents', 'z.npy', '--force').code == 0
    walk = read(made / 'w.txt')
    assert len(walk) == 10 and np.load(str(made / 'z.npy')).shape == (3, 5)
    assert script('wgan_generate.py', 'run', '--latents', 'z.npy', '--out', 'e.txt',
                  '--force').code == 0
    assert read(made / 'e.txt') == [walk[0], walk[4], walk[9]] and walk[4] == walk[5]


@pytest.mark.slow
def test_unique_lines(made, script, monkeypatch):
    monkeypatch.chdir(made)
    for count in (3, 5):
        assert script('wgan_generate.py', 'run', '--unique', '--count', count, '--out', 'u.txt',
                      '--force').code == 0
        assert len(set(read(made / 'u.txt'))) == count
    before = tree(made)
    sentence = script('wgan_generate.py', 'run', '--unique', '--count', 2, '--out', 'v.txt',
                      '--truncation', 0).sentence               # all latents are the same
    assert 'only' in sentence and '--unique' in sentence and tree(made) == before


@pytest.mark.slow
@pytest.mark.parametrize('arguments, said', [
    (['run', '--out', 'x.png'], ['text', '.txt']),
    (['run', '--out', 'x', '--count', 3], ['text', '.txt']),
    (['run', '--out', 'x.txt', '--rows', 2], ['--rows']),
    (['run', '--out', 'x.txt', '--scale', 2], ['--scale']),
    (['run', '--out', 'x.txt', '--label', 'a'], ['--label']),
    (['run', '--out', 'x.txt', '--unique', '--save-latents', 'y.npy'], ['--save-latents']),
    (['run', '--out', 'x.png', '--unique'], ['--unique', '.txt']),
    (['alone.model', '--out', 'x.txt'], ['characters', 'config.json']),
])
def test_options_that_do_not_fit(made, script, monkeypatch, tmp_path, arguments, said):
    monkeypatch.chdir(tmp_path)
    os.symlink(str(made / 'run'), 'run')
    (tmp_path / 'alone.model').write_bytes((made / 'run' / 'wgan_generator.model').read_bytes())
    sentence = script('wgan_generate.py', *arguments).sentence
    assert all(words in sentence for words in said), sentence
    assert not (tmp_path / 'x.txt').exists() and not (tmp_path / 'x.png').exists()


@pytest.mark.slow
@pytest.mark.parametrize('arguments, said', [
    (['inception_score.py', 'run', '--inception', 'x.onnx'], 'x.onnx'),
    (['wgan_animate.py', 'run', '--out', 'x.gif'], 'run is a run on text: its samples are lines'),
    (['wgan_training.py', '--out', 'new', '--start-from', 'run', '--width', 4, '--batch-size', 4,
      '--image-size', 32, '--data'], 'run/wgan_generator.model is of a run on text; name one'),
])
def test_programs_for_images_refuse_it(made, script, monkeypatch, tmp_path, arguments, said):
    monkeypatch.chdir(made)
    if arguments[-1] == '--data':
        arguments = arguments + [write_images(tmp_path / 'pics')]
    assert said in script(*arguments).sentence


def test_a_generator_of_images_makes_no_lines(untrained, script):
    assert 'of images' in script('wgan_generate.py', untrained, '--out', 'x.txt').sentence


# Options of a training

@pytest.mark.parametrize('arguments, said', [
    (['--text', '--image-size', 32], '--image-size is for images'),
    (['--text', '--augment'], '--augment is for images'),
    (['--text', '--no-mirror'], '--no-mirror is for images'),
    (['--text', '--labels', 'map'], '--labels is for images'),
    (['--text', '--inception', 'x.onnx'], '--inception is for images'),
    (['--text', '--brightness', 0.1], '--brightness is for images'),
    (['--length', 8], '--length is for text'),
    (['--long-lines', 'cut'], '--long-lines is for text'),
    (['--text', '--length', 3], 'at least 4'),
    (['--text', '--preset', 'article'], '--preset article is for images'),
    (['--text', '--batch-size', 100], 'has only 54 readable lines to train on'),
    (['--text', '--hold-out', 0.001], '--hold-out 0.001 of 60 lines leaves no lines to hold out; '
     '--hold-out 0 trains on all'),
    (['--text', '--out', 'names.txt'], 'names.txt'),
])
def test_bad_options(script, names, tmp_path, arguments, said):
    before = tree(tmp_path)
    sentence = script('wgan_training.py', '--data', names, *arguments).sentence
    assert said in sentence and tree(tmp_path) == before


def test_one_character_only(script, tmp_path):
    (tmp_path / 'x.txt').write_text('a\naaa\naa\n' * 40)
    sentence = script('wgan_training.py', '--text', '--data', 'x.txt', '--batch-size', 4).sentence
    assert 'one character, a' in sentence


@pytest.mark.slow
def test_start_from(made, script, monkeypatch, tmp_path):
    """The characters are those of the run, whose numbers the networks know."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'other.txt').write_text('\n'.join(['ddca', 'dd', 'acd', 'x', 'da', 'dc'] * 5))
    result = script('wgan_training.py', '--data', 'other.txt', '--out', 'new', '--start-from',
                    made / 'run', '--iterations', 1, *SMALL)
    assert result.code == 0, result.err
    assert '5 lines were left out: they have characters' in result.err
    characters = [json.loads((run / 'config.json').read_text())['characters']
                  for run in (made / 'run', tmp_path / 'new')]
    assert characters[0] == characters[1]
    for more, said in ((['--width', 5], '--width'), (['--length', 7], '--length')):
        sentence = script('wgan_training.py', '--data', 'other.txt', '--out', 'newer',
                          '--start-from', made / 'run', *SMALL, *more).sentence
        assert said in sentence


def test_start_from_a_run_on_images(script, names, untrained):
    assert 'run is a run on images; name one on text' in script(
        'wgan_training.py', '--data', names, '--out', 'new', '--start-from', 'run', *SMALL).sentence


@pytest.mark.slow
def test_other_lines_are_refused(made, script, monkeypatch, tmp_path):
    monkeypatch.chdir(made)
    (tmp_path / 'x.txt').write_text('abcd\nabc\n' * 40)
    sentence = script('wgan_training.py', '--out', 'run', '--resume', '--iterations', 9, '--data',
                      tmp_path / 'x.txt').sentence
    assert 'x.txt' in sentence


@pytest.mark.parametrize('found', [[], ['', 'ab'], ['', 'a', 'a'], ['a', 'b'], 'abc', ['', 1]])
def test_damaged_characters(found):
    with pytest.raises(UserError, match='damaged'):
        text.known_characters({'characters': found})
