"""Labels: where they stand, minibatches, runs, and everything that is made with them."""

import json
import os

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest

from helpers import (
    SMALL, assert_resume_is_exact, call_program, losses, make_updates, onnx_network, write_images)
from wgan.machine.command_line import UserError
from wgan.generators.evaluation import generate
from wgan.datasets.image_files import find_images
from wgan.datasets.images import ImageBatches, ImageSet
from wgan.datasets.labels import Labels, draw_labels, find_labels, label_name, names_of, one_hot
from wgan.training.objectives import OBJECTIVES
import models

PLAIN = dict(brightness=0, contrast=0, saturation=0, mirror=False)
COLOURS = {'blue': (200, 0, 0), 'green': (0, 200, 0), 'red': (0, 0, 200)}      # BGR


@pytest.fixture(scope='module')
def kinds(tmp_path_factory):
    """A folder with `kinds/NAME/…`: 8 images of each colour, each a little other; a map file of
    them; and a run of four iterations on it.
    """
    folder = tmp_path_factory.mktemp('labels')
    lines = []
    for name, colour in COLOURS.items():
        (folder / 'kinds' / name).mkdir(parents=True)
        for i in range(8):
            image = np.full((32, 32, 3), colour, np.uint8) + np.uint8(i)
            cv2.imwrite(str(folder / 'kinds' / name / ('%d.png' % i)), image)
            lines.append('%s/%d.png\t%s\n' % (name, i, name))
    (folder / 'kinds' / 'map.txt').write_text(''.join(lines))
    assert call_program('wgan_training.py', '--data', folder / 'kinds', '--labels', 'folders',
                        '--out', folder / 'run', '--iterations', 4, '--sample-every', 2,
                        *SMALL) == 0
    return folder


@pytest.fixture
def shuffled(tmp_path):
    """A map file of 12 images, each of one grey, with labels in no order; and the labels."""
    lines = []
    for i in range(12):
        cv2.imwrite(str(tmp_path / ('%02d.png' % i)), np.full((8, 8, 3), 20 * i, np.uint8))
        lines.append('%02d.png\t%s' % (i, 'abc'[(5 * i + i // 3) % 3]))
    (tmp_path / 'map.txt').write_text('\n'.join(lines))
    return tmp_path / 'map.txt', [line[-1] for line in lines]


@pytest.mark.parametrize('line', ['{0}\t{1}', '7\t{0}\t{1}', '{0}\t{1}\r', '{0}\t {1} '])
@pytest.mark.parametrize('names', ['ab', '01', ['a word', 'ä']])
def test_labels_of_a_map_file(tmp_path, line, names):
    write_images(tmp_path / 'pics', count=4)
    labels = [names[i % 2] for i in range(4)]
    path = tmp_path / 'map.txt'
    path.write_text('\n'.join(line.format('pics/%d.png' % i, label)
                              for i, label in enumerate(labels)), encoding='utf-8')
    assert find_labels(str(path), 'map', find_images(str(path))) == labels


COMPOSED, DECOMPOSED = 'été', 'e\u0301te\u0301'


@pytest.mark.parametrize('spelling, name', [
    ('cat ', 'cat'), (' cat', 'cat'), ('a\nb', 'a b'), ('a \r\n\t b', 'a b'), ('cat\xa0', 'cat'),
    ('a\u2028b\x85c', 'a b c'), (DECOMPOSED, COMPOSED), (COMPOSED, COMPOSED), ('\udce9', '\udce9'),
    ('\u1112\u1161\u11ab', '한'), ('a  cat', 'a cat'), ('\u3000猫', '猫'), ('a,b', 'a,b'), ('\t', '')])
def test_one_name_of_several_spellings(spelling, name):
    assert label_name(spelling) == name == label_name(name)


def test_folders_of_one_name(tmp_path, capfd):
    """They are one label, and that is said; a map file of the same has the same labels."""
    for i, name in enumerate(('cat', 'cat ', COMPOSED, DECOMPOSED, 'dog')):
        (tmp_path / 'pics').mkdir(exist_ok=True)
        write_images(tmp_path / 'plain', count=2, seed=i).rename(tmp_path / 'pics' / name)
    source = str(tmp_path / 'pics')
    found = find_images(source, report=False)
    labels = find_labels(source, 'folders', found)
    assert set(labels) == {'cat', COMPOSED, 'dog'} and labels.count('cat') == 4
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 2 and "the label cat in several spellings" in said[0]
    assert "'cat', 'cat '" in said[0] and "'e\\u0301te\\u0301', '\\xe9t\\xe9'" in said[1]
    assert find_labels(source, 'folders', found, report=False) == labels
    assert capfd.readouterr().err == ''
    (tmp_path / 'map.txt').write_text(''.join(
        '%s\t%s\n' % (os.path.join('pics', os.path.basename(os.path.dirname(path)),
                                   os.path.basename(path)), label)
        for path, label in zip(found, labels)))
    assert find_labels(str(tmp_path / 'map.txt'), 'map', []) == labels


def test_images_with_several_labels(tmp_path, capfd):
    """Under whatever path; with one label they are copies, and no more is said."""
    write_images(tmp_path / 'pics', count=4)
    path = tmp_path / 'map.txt'
    path.write_text('pics/0.png\tcat\npics/0.png\tcat\n\npics/1.png\tdog\n./pics/0.png\t dog\n'
                    'pics/2.png\tdog\n%s\tcow\npics/3.png\tcow\n' % (tmp_path / 'pics/2.png'))
    assert len(find_labels(str(path), 'map', [str(i) for i in range(7)])) == 7
    said = capfd.readouterr().err
    assert 'map.txt, line 5: the image %s has the label dog, and in line 1 the label cat' % (
        tmp_path / './pics/0.png') in said.replace('/./', '/') and '(2 such lines)' in said
    assert said.count('warning') == 1


@pytest.mark.parametrize('text, said', [
    ('0.png\tcat\tdog\n', 'line 1: it has 3 columns; a line is path<TAB>label or'),
    ('0.png\tcat\n7\t0.png\tcat\tdog\n', 'line 2: it has 4 columns; a line is'),
    ('0.png\t\tcat\n', 'line 1: it has 3 columns; a line is'),
    ('0.png,cat\na cat.png,dog\n', 'line 1: the image 0.png,cat does not exist; a map file has no '
     'header line, and a TAB between path and label, not a comma'),
    ('image filename,label\n0.png,cat\n', 'a TAB between path and label, not a comma'),
    ('id;image;label\n1;"0.png";cat\n', 'a TAB between path and label, not a semicolon'),
    ('0.png cat\n', 'a TAB between path and label, not a space'),
    ('a cat.png big dog\n', 'a TAB between path and label, not a space'),
    ('file\tlabel\n0.png\tcat\n', 'line 1: the image file does not exist; a map file has no '
     'header line'),
    ('\n0001,cat\n0002,dog\n', 'line 2: the image 0001,cat does not exist; a line is '
     'path<TAB>label; to train on lines of text, give --text'),
])
def test_what_is_no_map_file(train, tmp_path, text, said):
    write_images(tmp_path / 'pics', count=2)
    (tmp_path / 'pics' / '1.png').rename(tmp_path / 'pics' / 'a cat.png')
    (tmp_path / 'pics' / 'map.txt').write_text(text)
    sentence = train('--data', 'pics/map.txt', '--labels', 'map', '--out', 'run', *SMALL).sentence
    assert 'pics/map.txt, ' in sentence and said in sentence
    assert ('--text' in sentence) == ('0001' in text)


@pytest.mark.parametrize('here, listed', [(DECOMPOSED, COMPOSED), (COMPOSED, DECOMPOSED)])
def test_a_map_file_in_another_unicode_form(tmp_path, here, listed):
    write_images(tmp_path / 'plain', count=1).rename(tmp_path / here)
    (tmp_path / 'map.txt').write_text('%s/0.png\n' % listed, encoding='utf-8')
    assert find_images(str(tmp_path / 'map.txt')) == [str(tmp_path / here / '0.png')]


@pytest.mark.slow
def test_labels_of_folders(kinds):
    source = str(kinds / 'kinds')
    found = find_images(source)
    assert find_labels(source, 'folders', found) == [
        os.path.basename(os.path.dirname(path)) for path in found]


@pytest.mark.parametrize('labels, order', [
    ({'10', '9', '2'}, ['2', '9', '10']), ({'b', 'a', '1'}, ['1', 'a', 'b']),
    ({'0', '00', '1'}, ['0', '00', '1']), ({'-1', '1'}, ['-1', '1']),
    ({'10.0', '2.0', '1.0'}, ['1.0', '2.0', '10.0']), ({'1e1', '2', '.5'}, ['.5', '2', '1e1']),
    ({'nan', '2', '10'}, ['10', '2', 'nan']), ({'inf', '2', '10'}, ['10', '2', 'inf']),
    ({'1.0', '1', '1.00', '0.5'}, ['0.5', '1', '1.0', '1.00']), ({'2', '10', ''}, ['', '10', '2'])])
def test_order_of_names(labels, order):
    assert names_of(labels) == order
    assert names_of(labels, order[::-1]) == order[::-1]         # as a run has them already
    assert names_of(labels, order[1:]) == order


@pytest.mark.parametrize('text, said', [
    ('0.png\ta\n1.png\ta\n2.png\tb\n', 'the label b occurs once in {0}, for {1}2.png'),
    ('0.png\ta\n1.png\n2.png\tb\n', 'lists the image {1}1.png without a label (1 of 3 lines)'),
    ('0.png\n1.png\n2.png\n', 'lists the image {1}0.png without a label (3 of 3 lines)'),
    ('0.png\ta\n1.png\ta\n', 'all images in {0} have the label a'),
])
def test_map_files_that_will_not_do(train, tmp_path, text, said):
    write_images(tmp_path / 'pics', count=4)
    (tmp_path / 'pics' / 'map.txt').write_text(text)
    sentence = train('--data', 'pics/map.txt', '--labels', 'map', '--out', 'run', *SMALL).sentence
    assert said.format('pics/map.txt', 'pics/') in sentence
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('data, how, said', [
    ('pics', 'map', 'pics is a folder; name a map file'),
    ('pics/map.txt', 'folders', 'pics/map.txt is a map file'),
    ('pics', 'folders', 'has the image pics/0.png in no folder'),
    ('pics', 'both', 'invalid choice'),
])
def test_labels_that_are_not_there(train, tmp_path, data, how, said):
    write_images(tmp_path / 'pics', count=4)
    (tmp_path / 'pics' / 'map.txt').write_text('0.png\ta\n1.png\ta\n2.png\tb\n3.png\tb\n')
    sentence = train('--data', data, '--labels', how, '--out', 'run', *SMALL).sentence
    assert said in sentence
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('limit', [1 << 30, 0])
def test_each_image_has_its_own_label(shuffled, limit):
    """In minibatches, decoded at the start or each time, and of what is read in place of a file
    that can't be read.
    """
    path, labels = shuffled
    (path.parent / '04.png').write_bytes(b'no image')
    images = ImageSet(str(path), 8, memory_limit=limit, labels='map')
    assert images.label_names == ['a', 'b', 'c']
    batches = ImageBatches(images, 4, np.random.RandomState(0), **PLAIN)
    for _ in range(20):
        pixels, given = batches.next()
        assert given.dtype == np.float32 and given.shape == (4, 3) and (given.sum(1) == 1).all()
        numbers = np.rint((pixels[:, 0, 4, 4] + 1) * 127.5 / 20).astype(int)
        assert ['abc'[k] for k in given.argmax(1)] == [labels[i] for i in numbers]


def test_counts_and_digest(shuffled):
    path, labels = shuffled
    images = ImageSet(str(path), 8, labels='map')
    assert images.label_counts().tolist() == [labels.count(name) for name in 'abc']
    plain, other = ImageSet(str(path), 8), path.parent / 'other.txt'
    other.write_text(path.read_text().replace('\ta', '\td'))
    digests = [images.digest, plain.digest, ImageSet(str(other), 8, labels='map').digest]
    assert len(set(digests)) == 3 and plain.label_names == []
    assert plain.digest == ImageSet(str(other), 8).digest


def test_labels_are_drawn_as_often_as_the_data_has_them():
    rng = np.random.RandomState(0)
    drawn = draw_labels(rng, 20000, [10, 60, 30])
    assert drawn.shape == (20000, 3) and drawn.dtype == np.float32
    np.testing.assert_allclose(drawn.mean(axis=0), [0.1, 0.6, 0.3], atol=0.01)
    before = rng.get_state()[1].tolist(), rng.get_state()[2]
    assert draw_labels(rng, 5, []).shape == (5, 0)
    assert (rng.get_state()[1].tolist(), rng.get_state()[2]) == before
    assert one_hot([2, 0], 3).tolist() == [[0, 0, 1], [1, 0, 0]]


@pytest.mark.slow
@pytest.mark.parametrize('objective', list(OBJECTIVES))
def test_updates_get_the_labels(objective, monkeypatch):
    """The critic those of the real images, the generator some that are drawn."""
    updates = make_updates(objective, '--augment', labels=Labels(['a', 'b', 'c'], [3, 1, 0]))
    fed = []
    for trainer in updates.trainers.values():
        real = trainer.train_minibatch
        monkeypatch.setattr(trainer, 'train_minibatch', lambda feed, real=real, **more: (
            fed.append(feed), real(feed, **more))[1])
    given = one_hot([0, 2, 2, 1], 3)
    updates.update_critic(np.zeros((4, 3, 32, 32), np.float32), given)
    updates.update_generator(1)
    assert (fed[0][updates.label] == given).all()
    if objective == 'r3gan':        # it compares with the real images, so it has their labels
        assert (fed[1][updates.label] == given).all()
    else:
        assert fed[1][updates.label].shape == (4, 3) and not fed[1][updates.label][:, 2].any()
    assert np.isfinite(updates.row()).all()


@pytest.mark.parametrize('network', ['generator', 'critic'])
def test_networks_make_a_difference_between_labels(network):
    make = {'generator': models.generator, 'critic': models.critic}[network]
    f = make(32, width=2, seed=1, labels=3)
    x = [v for v in f.arguments if v.name != 'label'][0]
    label = [v for v in f.arguments if v.name == 'label'][0]
    assert label.shape == (3,) and len(f.arguments) == 2
    values = f.eval({x: np.ones((3,) + x.shape, np.float32), label: np.eye(3, dtype=np.float32)})
    assert len({value.tobytes() for value in values}) == 3


@pytest.mark.slow
def test_a_run(kinds):
    about = json.loads((kinds / 'run' / 'config.json').read_text())
    assert about['labels'] == {'names': ['blue', 'green', 'red'], 'counts': [8, 8, 8]}
    assert about['settings']['labels'] == 'folders'
    sheet = cv2.imread(str(kinds / 'run' / 'samples' / 'step_000004.png'))
    assert sheet.shape[0] == 3 * 32 and sheet.shape[1] > 8 * 32 + 20
    margin = sheet[:, :-8 * 32]
    for row in np.split(margin, 3):                         # black letters on white in each
        assert row.min() < 60 and row.max() == 255
    assert (kinds / 'run' / 'training.gif').exists()


@pytest.mark.slow
@pytest.mark.parametrize('objective', list(OBJECTIVES))
def test_resume_is_exact(train, kinds, tmp_path, objective):
    """Each objective, with labels and with images held out."""
    start = ['--data', kinds / 'kinds' / 'map.txt', '--labels', 'map', '--hold-out', 0.3,
             '--objective', objective, *SMALL]
    assert_resume_is_exact(train, tmp_path, *start)
    table = losses(tmp_path / 'parts')
    column, = [name for name in table if name.endswith('_held_out')]
    assert column in ('wasserstein_held_out', 'score_difference_held_out', 'D_real_held_out')
    assert table[column].nunique() == 5
    assert 'labels was map and is now' in train('--out', 'parts', '--resume', '--labels',
                                                'folders').sentence


@pytest.mark.slow
def test_other_labels_of_the_same_images_are_other_images(train, kinds, tmp_path):
    text = (kinds / 'kinds' / 'map.txt').read_text()
    path = tmp_path / 'map.txt'
    path.write_text(text.replace('blue/', '%s/blue/' % (kinds / 'kinds')).replace(
        'green/', '%s/green/' % (kinds / 'kinds')).replace('red/', '%s/red/' % (kinds / 'kinds')))
    start = ['--data', path, '--labels', 'map', '--out', 'run', *SMALL]
    assert train('--iterations', 1, *start).code == 0
    path.write_text(path.read_text().replace('\tred', '\tblue', 3))
    result = train('--out', 'run', '--resume', '--iterations', 2)
    assert 'not those that the run was trained on' in result.sentence
    path.write_text(path.read_text().replace('\tgreen', '\tblack'))
    assert 'has the labels' in train('--out', 'run', '--resume', '--iterations', 2,
                                     '--allow-change', 'data').sentence


@pytest.mark.slow
def test_a_run_keeps_the_order_of_its_labels(train, tmp_path):
    """Its networks know them by their places, whatever order a new run would give them."""
    write_images(tmp_path / 'pics', count=6)
    (tmp_path / 'pics' / 'map.txt').write_text(''.join(
        '%d.png\t%s\n' % (i, ('1.0', '2.0', '10.0')[i % 3]) for i in range(6)))
    start = ['--data', 'pics/map.txt', '--labels', 'map', '--out', 'run', *SMALL]
    assert train('--iterations', 1, *start).code == 0
    path = tmp_path / 'run' / 'config.json'
    about = json.loads(path.read_text())
    assert about['labels']['names'] == ['1.0', '2.0', '10.0']
    about['labels']['names'] = ['1.0', '10.0', '2.0']
    path.write_text(json.dumps(about))
    result = train('--out', 'run', '--resume', '--iterations', 2)
    assert result.code == 0, result.err
    assert json.loads(path.read_text())['labels']['names'] == ['1.0', '10.0', '2.0']


@pytest.mark.slow
def test_a_run_says_that_labels_are_not_used(train, kinds, images, tmp_path):
    result = train('--data', kinds / 'kinds' / 'map.txt', '--out', 'a', '--iterations', 1, *SMALL)
    assert 'labels of' in result.err and '--labels map' in result.err
    result = train('--data', kinds / 'kinds' / 'map.txt', '--out', 'b', '--iterations', 1,
                   '--labels', 'map', *SMALL)
    assert '--labels map' not in result.err and 'labels: blue 8, green 8, red 8' in result.err
    (tmp_path / 'same.txt').write_text('images/0.png\t0\nimages/1.png\t0\n' * 2)
    assert 'labels' not in train('--data', 'same.txt', '--out', 'c', '--iterations', 1,
                                 *SMALL).err


@pytest.mark.slow
def test_start_from(train, kinds, images):
    start = ['--iterations', 1, '--start-from', kinds / 'run', *SMALL]
    assert train('--data', kinds / 'kinds', '--labels', 'folders', '--out', 'a', *start).code == 0
    sentence = train('--data', images, '--out', 'b', *start).sentence
    assert 'has number of labels 3, and this run has number of labels 0' in sentence


# What is made with a run

@pytest.mark.slow
def test_a_grid_has_rows_for_each_label(script, kinds, tmp_path):
    def made(*arguments):
        assert script('wgan_generate.py', kinds / 'run', '--out', 'g.png', '--force',
                      *arguments).code == 0
        return cv2.imread(str(tmp_path / 'g.png'))

    all_three = made('--columns', 4)
    assert all_three.shape[0] == 3 * 32
    pixels = all_three[:, -4 * 32:]
    assert (made('--columns', 4, '--label', 'red')[:, -4 * 32:] == pixels[64:]).all()
    two = made('--columns', 2, '--rows', 2, '--label', 'red, blue')[:, -64:]
    assert two.shape[0] == 4 * 32
    assert (two[:32] == pixels[64:, :64]).all() and (two[64:96] == pixels[:32, :64]).all()
    assert (two[32:64] == pixels[64:, 64:]).all()       # the same latents, in two rows
    large = made('--columns', 4, '--label', 'green', '--scale', 2, '--border', 1)
    assert large.shape[0] == 64 and (large[::2, -8:][:, ::2] == pixels[32:64, -4:]).all()


@pytest.mark.slow
def test_single_images_have_a_map_file(script, kinds, tmp_path):
    """Of one label, or as often as the data has them; they can be trained on."""
    for out, arguments in (('all', []), ('red', ['--label', 'red'])):
        assert script('wgan_generate.py', kinds / 'run', '--out', out, '--count', 40,
                      *arguments).code == 0
    found = find_labels(str(tmp_path / 'all' / 'labels.txt'), 'map', [])
    assert set(found) == set(COLOURS) and len(found) == 40
    lines = (tmp_path / 'red' / 'labels.txt').read_text().splitlines()
    assert lines == ['%06d.png\tred' % i for i in range(40)]


@pytest.mark.slow
def test_walks(script, kinds, tmp_path):
    """Within a label, and from one to another."""
    def walk(*arguments):
        assert script('wgan_walk.py', kinds / 'run', '--out', 'w.png', '--force',
                      '--count', 2, '--steps', 5, *arguments).code == 0
        return np.split(cv2.imread(str(tmp_path / 'w.png')), 5, axis=1)

    red, blue, both = walk('--label', 'red'), walk('--label', 'blue'), walk('--label', 'red,blue')
    assert (both[0] == red[0]).all() and (both[4] == blue[4]).all()
    assert (both[2] != red[2]).any() and (both[2] != blue[2]).any()
    result = script('wgan_walk.py', kinds / 'run', '--out', 'w.gif', '--count', 3, '--steps', 2)
    assert result.code == 0, result.err


@pytest.mark.slow
def test_onnx_has_a_second_input(script, kinds, tmp_path):
    assert script('wgan_export.py', kinds / 'run', '--out', 'g.onnx').code == 0
    session = onnxruntime.InferenceSession(str(tmp_path / 'g.onnx'))
    inputs = {x.name: x.shape for x in session.get_inputs()}
    assert inputs == {'latent': ['batch', 5], 'label': ['batch', 3]}
    about = {p.key: p.value for p in onnx.load(str(tmp_path / 'g.onnx')).metadata_props}
    assert json.loads(about['training'])['labels']['names'] == sorted(COLOURS)
    for out, model in (('a.png', kinds / 'run'), ('b.png', 'g.onnx')):
        assert script('wgan_generate.py', model, '--out', out, '--label', 'red,green').code == 0
    a, b = (cv2.imread(str(tmp_path / name)).astype(int) for name in ('a.png', 'b.png'))
    assert a.shape == b.shape and abs(a - b).max() <= 1


@pytest.mark.slow
def test_a_model_without_its_run_has_numbers_for_names(script, kinds, tmp_path):
    (tmp_path / 'g.model').write_bytes((kinds / 'run' / 'wgan_generator.model').read_bytes())
    for label, code in (('2', 0), ('red', 2)):
        result = script('wgan_generate.py', 'g.model', '--out', label + '.png', '--label', label)
        assert result.code == code
    assert 'g.model has no label red; it has 0, 1, 2' in result.sentence


@pytest.mark.slow
@pytest.mark.parametrize('label', [COMPOSED, DECOMPOSED, ' %s ' % COMPOSED,
                                   DECOMPOSED + ',dog', 'a\tb,' + DECOMPOSED])
def test_labels_in_any_spelling(script, kinds, tmp_path, label):
    """What a config.json says, and what a user types."""
    (tmp_path / 'g.model').write_bytes((kinds / 'run' / 'wgan_generator.model').read_bytes())
    (tmp_path / 'config.json').write_text(json.dumps({'settings': {}, 'labels': {
        'names': [DECOMPOSED, 'dog', 'a\nb'], 'counts': [1, 2, 3]}}))
    result = script('wgan_generate.py', 'g.model', '--out', 'x', '--count', 4, '--label', label)
    assert result.code == 0, result.err
    found = find_labels(str(tmp_path / 'x' / 'labels.txt'), 'map', []) if ',' in label else [
        line.split('\t')[1] for line in (tmp_path / 'x' / 'labels.txt').read_text(
            encoding='utf-8').splitlines()]
    assert COMPOSED in found and set(found) <= {COMPOSED, 'dog', 'a b'}


@pytest.mark.slow
@pytest.mark.parametrize('label, said', [
    ('nose', 'has no label nose; it has blue, green, red'),
    ('red,', "has no label ''; it has"), ('red;blue', 'has no label red;blue'),
    ('', 'has no label')])
def test_unknown_labels(script, kinds, tmp_path, label, said):
    assert said in script('wgan_generate.py', kinds / 'run', '--out', 'x.png', '--label',
                          label).sentence
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.slow
def test_labels_of_a_run_that_has_none(script, untrained, kinds, colours, tmp_path):
    assert 'was trained without labels' in script(
        'wgan_generate.py', untrained, '--out', 'x.png', '--label', 'red').sentence
    assert 'was trained without labels' in script(
        'inception_score.py', untrained, '--inception', colours, '--count', 20, '--reference',
        kinds / 'kinds', '--labels', 'folders').sentence


@pytest.mark.slow
def test_fewer_images_into_the_same_folder(script, kinds, untrained, tmp_path):
    """What stays there of an earlier call is counted and said; also its labels."""
    def made(model, count, *more):
        result = script('wgan_generate.py', model, '--out', 'x', '--count', count, '--force', *more)
        assert result.code == 0, result.err
        return [line for line in result.err.splitlines() if line.startswith('warning')]
    assert made(kinds / 'run', 12) == []
    said = 'warning: x has %s this call did not write (%s); what reads the folder reads %s too'
    assert made(kinds / 'run', 4, '--label', 'red') == [
        said % ('8 files that', '000004.png …', 'them')]
    (tmp_path / 'x' / '.hidden').write_text('')
    assert made(kinds / 'run', 12) == []
    assert made(untrained, 12) == [said % ('1 file that', 'labels.txt', 'it')]


@pytest.mark.slow
def test_labels_of_two_sets_stand_in_different_places(script, kinds, tmp_path, monkeypatch):
    """Generated images, with labels.txt, against folders; and the other way."""
    monkeypatch.setattr('wgan.scores.scoring.LABEL_COUNT', 8)
    network = onnx_network(tmp_path / 'n.onnx')
    assert script('wgan_generate.py', kinds / 'run', '--out', 'x', '--count', 60).code == 0
    found = []
    for what, reference, labels in (
            ('x', kinds / 'kinds', 'folders'), ('x/labels.txt', kinds / 'kinds', 'folders'),
            ('x', kinds / 'kinds' / 'map.txt', 'map'), (kinds / 'kinds', 'x/labels.txt', 'map'),
            (kinds / 'kinds' / 'map.txt', 'x/labels.txt', 'map')):
        result = script('inception_score.py', what, '--reference', reference, '--labels', labels,
                        '--inception', network, '--json', 'r.json', '--force')
        assert result.code == 0, result.err
        found.append(json.loads((tmp_path / 'r.json').read_text())['fid_of_labels'])
    assert sorted(found[0]) == sorted(COLOURS)
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-6)
    # A labels.txt that is something else, as a list of names, decides nothing.
    (kinds / 'kinds' / 'labels.txt').write_text('blue\ngreen\nred\n')
    result = script('inception_score.py', kinds / 'kinds', '--reference', kinds / 'kinds',
                    '--labels', 'folders', '--inception', network)
    (kinds / 'kinds' / 'labels.txt').unlink()
    assert result.code == 0, result.err


@pytest.mark.slow
def test_labels_without_an_fid_are_named(script, kinds, tmp_path, monkeypatch):
    monkeypatch.setattr('wgan.scores.scoring.LABEL_COUNT', 8)
    lines = (kinds / 'kinds' / 'map.txt').read_text().splitlines()
    (tmp_path / 'map.txt').write_text(''.join(
        '%s/%s\n' % (kinds / 'kinds', line.replace('\tred', '\tRed'))
        for line in lines[:13] + lines[16:]))
    result = script('inception_score.py', kinds / 'kinds', '--reference', 'map.txt', '--labels',
                    'map', '--inception', onnx_network(tmp_path / 'n.onnx'), '--json', 'r.json')
    assert result.code == 0, result.err
    assert list(json.loads((tmp_path / 'r.json').read_text())['fid_of_labels']) == ['blue']
    said = [line for line in result.out.splitlines() if line.startswith('no FID')]
    assert said == [
        'no FID of labels with fewer than 8 images: Red (0 in {0}), green (5 in map.txt), '
        'red (0 in map.txt)'.format(kinds / 'kinds')]


@pytest.mark.slow
def test_scores_draw_labels_and_tell_of_each(script, kinds, tmp_path, monkeypatch):
    """FID for a label is that of the images that have it."""
    monkeypatch.setattr('wgan.scores.scoring.LABEL_COUNT', 8)
    network = onnx_network(tmp_path / 'n.onnx')
    generator = kinds / 'run'
    assert script('wgan_generate.py', generator, '--out', 'red', '--count', 40, '--label',
                  'red').code == 0
    result = script('inception_score.py', generator, '--inception', network, '--count', 90,
                    '--reference', kinds / 'kinds', '--labels', 'folders', '--json', 'r.json')
    assert result.code == 0, result.err
    found = json.loads((tmp_path / 'r.json').read_text())['fid_of_labels']
    assert sorted(found) == sorted(COLOURS) and len(set(found.values())) == 3
    assert 'FID of red' in result.out
    same = script('inception_score.py', kinds / 'kinds', '--inception', network, '--reference',
                  kinds / 'kinds', '--labels', 'folders', '--json', 's.json')
    assert same.code == 0, same.err
    found = json.loads((tmp_path / 's.json').read_text())['fid_of_labels']
    assert max(found.values()) < 1e-6


@pytest.mark.slow
def test_scores_while_training(train, kinds, tmp_path):
    assert train('--data', kinds / 'kinds', '--labels', 'folders', '--out', 'run', '--iterations',
                 2, '--score-every', 1, '--score-count', 20, '--inception',
                 onnx_network(tmp_path / 'n.onnx'), *SMALL).code == 0


@pytest.mark.slow
def test_a_damaged_config(script, kinds, tmp_path):
    for labels in ('x', {}, {'names': ['a', 'a', 'b'], 'counts': [1, 1, 1]},
                   {'names': ['a', 'b', 'c'], 'counts': [1, 0, 'x']}):
        (tmp_path / 'g.model').write_bytes((kinds / 'run' / 'wgan_generator.model').read_bytes())
        (tmp_path / 'config.json').write_text(json.dumps({'settings': {}, 'labels': labels}))
        assert 'its labels are' in script('wgan_generate.py', 'g.model', '--out',
                                          'x.png').sentence
    (tmp_path / 'config.json').write_text(json.dumps(
        {'settings': {}, 'labels': {'names': ['a', 'b'], 'counts': [1, 1]}}))
    assert 'takes 3 labels, and its run had 2' in script('wgan_generate.py', 'g.model', '--out',
                                                         'x.png').sentence


@pytest.mark.slow
def test_names_in_any_bytes_and_under_any_locale(command, tmp_path):
    """Folders with names that are no text, or not of the locale: the same run and labels. A line
    break in a name is a space in its label, so that labels.txt can be read again.
    """
    names = ['ä', os.fsdecode(b'\xe9'), 'a\nb']
    (tmp_path / 'pics').mkdir()
    for i, name in enumerate(names):            # OpenCV can't write to each name
        write_images(tmp_path / 'plain', count=4, seed=i).rename(tmp_path / 'pics' / name)
    assert command('wgan_training.py', '--data', 'pics', '--labels', 'folders', '--out', 'run',
                   '--iterations', 1, '--sample-every', 1, *SMALL).code == 0
    result = command('wgan_training.py', '--out', 'run', '--resume', '--iterations', 2,
                     LC_ALL='C')
    assert result.code == 0, result.err
    for locale in ({}, {'LC_ALL': 'C'}):
        result = command('wgan_generate.py', 'run', '--out', 'x', '--count', 30, '--force',
                         **locale)
        assert result.code == 0, result.err
        lines = (tmp_path / 'x' / 'labels.txt').read_bytes()
        assert '\tä\n'.encode() in lines and b'\t\xe9\n' in lines and b'\ta b\n' in lines
        assert set(find_labels(str(tmp_path / 'x' / 'labels.txt'), 'map', [])) == {
            'ä', '\udce9', 'a b'}
        assert command('wgan_generate.py', 'run', '--out', 'x.png', '--label', 'ä', '--force',
                       **locale).code == 0


def test_find_labels_refuses_what_has_none(tmp_path):
    with pytest.raises(UserError, match='without a label'):
        write_images(tmp_path / 'pics', count=2)
        (tmp_path / 'map.txt').write_text('pics/0.png\npics/1.png\n')
        find_labels(str(tmp_path / 'map.txt'), 'map', find_images(str(tmp_path / 'map.txt')))


@pytest.mark.slow
def test_average_generator_takes_labels(kinds):
    from wgan.generators.files import load_generator
    generator = load_generator(str(kinds / 'run' / 'wgan_generator_average.model'))
    images = generate(generator, np.ones((3, 5), np.float32), 2, one_hot([0, 1, 2], 3))
    assert images.shape == (3, 3, 32, 32)
