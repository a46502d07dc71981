"""Where a run may be, under any name; what --overwrite deletes, and that the user's files stay."""

import json
import os
import shutil

import pytest

from wgan.runs import files as run_files
from helpers import TINY, tree, write_images
from wgan.runs.folder import RunFolder


@pytest.mark.slow
def test_overwrite_deletes_what_the_run_wrote_and_nothing_else(run, train, tmp_path):
    mine = {'notes.txt': 'a', 'samples/cat.png': 'b', 'samples/step_000009.png': 'c',
            'checkpoints/step_00000003/why.txt': 'd', 'samples/mine/step_000001.png': 'e',
            'checkpoints/step_00000077/critic': 'f', 'tensorboard/events.out.tfevents.1.x': 'g',
            'scores.csv': 'h', 'wgan_generator_best.model': 'i', 'tensorboard/x': 'j',
            'config.json.new': 'k', 'wgan.csv.new': 'l'}
    for name, text in mine.items():
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text(text)
    (run / 'samples' / 'step_000002.png').rename(run / 'samples' / 'nice.png')
    nice = (run / 'samples' / 'nice.png').read_bytes()
    result = train('--data', 'pics', '--out', 'run', '--overwrite', '--iterations', 1, '--seed', 1,
                   *TINY)
    assert result.code == 0, result.err
    kept = tree(run)
    contents = list(kept.values())
    for name, text in mine.items():
        assert kept.get(name) == text.encode() or text.encode() in contents, name
    assert kept['samples/nice.png'] == nice
    assert sorted(n for n in os.listdir(str(run / 'samples')) if n.startswith('step')) == [
        'step_000001.png', 'step_000009.png']
    assert [n for n in os.listdir(str(run / 'checkpoints')) if len(n) == 13] == [
        'step_00000001', 'step_00000077'] or kept['checkpoints/step_00000077/critic'] == b'f'


@pytest.mark.slow
def test_a_run_of_an_earlier_version_is_known_by_the_names(run, train):
    (run / '.files').unlink()
    for name in ('notes.txt', 'samples/cat.png', 'samples/step_1.png', 'samples/step_000001.jpg',
                 'checkpoints/notes'):
        (run / name).write_text('mine')
    assert train('--data', 'pics', '--out', 'run', '--overwrite', '--iterations', 1,
                 *TINY).code == 0
    for name in ('notes.txt', 'samples/cat.png', 'samples/step_1.png', 'samples/step_000001.jpg',
                 'checkpoints/notes'):
        assert (run / name).read_text() == 'mine'
    assert not (run / 'samples' / 'step_000003.png').exists()
    assert not list(run.glob('**/*.kept'))


@pytest.mark.slow
def test_a_list_that_was_tampered_with_is_not_followed(run, train, tmp_path):
    (tmp_path / 'precious').write_text('mine')
    (run / 'samples' / 'cat.png').write_text('mine')
    with open(str(run / '.files'), 'ab') as file:
        file.write(b'\n../precious\n%s\nsamples/cat.png\nsamples/../../precious\n\xff\xfe\n'
                   b'checkpoints/../../precious\n.\n..\n\nsamples\n.lock' % bytes(
                       tmp_path / 'precious'))
    assert train('--data', 'pics', '--out', 'run', '--overwrite', '--iterations', 1,
                 *TINY).code == 0
    assert (tmp_path / 'precious').read_text() == 'mine'
    assert (run / 'samples' / 'cat.png').read_text() == 'mine'


@pytest.mark.slow
@pytest.mark.parametrize('name', ['samples/step_000004.png', 'training.gif', 'samples',
                                  'checkpoints/step_00000004'])
def test_a_file_of_the_users_in_the_way_gets_another_name(run, train, name):
    if (run / name).is_dir():
        shutil.rmtree(str(run / name))
    listed = [n for n in (run / '.files').read_text().split('\n') if n != name]
    (run / '.files').write_text('\n'.join(listed))
    if os.path.exists(str(run / name)):
        (run / name).unlink()
    (run / name).write_text('mine')
    result = train('--out', 'run', '--resume', '--iterations', 4)
    assert result.code == 0 and (run / (name + '.kept')).read_text() == 'mine'
    assert (run / name).is_dir() or (run / name).read_bytes() != b'mine'


LINKED = ['config.json', 'wgan.csv', 'losses.png', 'training.gif', 'wgan_generator.model',
          'wgan_critic.model', '.files', '.lock', 'samples/step_000003.png', 'samples/real.png']


@pytest.mark.slow
@pytest.mark.parametrize('how', ['--resume', '--overwrite', 'complete'])
def test_nothing_is_written_through_a_link(run, train, tmp_path, how):
    """A link in the place of one of the run's files leads to a file of the user's."""
    for name in LINKED:
        target = tmp_path / ('mine ' + name.replace('/', ' '))
        target.write_bytes((run / name).read_bytes() if name in ('wgan.csv', '.files') else b'mine')
        (run / name).unlink()
        (run / name).symlink_to(target)
    before = {path.name: path.read_bytes() for path in tmp_path.glob('mine *')}
    arguments = {'--resume': ['--resume', '--iterations', 4], 'complete': ['--resume'],
                 '--overwrite': ['--overwrite', '--data', 'pics', '--iterations', 3] + TINY}[how]
    result = train('--out', 'run', *arguments)
    assert result.code == 0, result.err
    assert {path.name: path.read_bytes() for path in tmp_path.glob('mine *')} == before
    assert not (run / 'wgan.csv').is_symlink() and not (run / 'config.json').is_symlink()


def place(tmp_path, arrangement):
    """Makes the folders of an arrangement; returns --data and --out."""
    pics = write_images(tmp_path / 'pics')
    if arrangement == 'data in out, dot':
        return 'pics', '.'
    if arrangement == 'data in out, dots':
        return 'pics', 'pics/..'
    if arrangement == 'out is data':
        return 'pics', './pics/'
    if arrangement == 'out in data':
        return 'pics', 'pics/deep/run'
    if arrangement == 'out in data through a link':
        (tmp_path / 'link').symlink_to('pics')
        return 'pics', 'link/run'
    if arrangement == 'a link in data leads to out':
        (tmp_path / 'run').mkdir()
        (pics / 'more').symlink_to('../run')
        return 'pics', 'run'
    if arrangement == 'a link in data leads to what will be out':
        (pics / 'sub').mkdir()
        (pics / 'sub' / 'more').symlink_to('../../runs/run')
        return 'pics', 'runs/run'
    if arrangement == 'a link in data leads above out':
        (tmp_path / 'runs').mkdir()
        (pics / 'more').symlink_to('../runs')
        return 'pics', 'runs/run'
    if arrangement == 'foreign files':
        (tmp_path / 'run').mkdir()
        (tmp_path / 'run' / 'thesis.tex').write_text('mine')
        return 'pics', 'run'
    if arrangement == 'foreign config.json':
        (tmp_path / 'run').mkdir()
        (tmp_path / 'run' / 'config.json').write_text('{"settings": {"port": 80}}')
        return 'pics', 'run'
    if arrangement == 'foreign list':
        (tmp_path / 'run').mkdir()
        (tmp_path / 'run' / '.files').write_text('mine')
        return 'pics', 'run'
    if arrangement == 'images of a map':
        (tmp_path / 'map.txt').write_text('pics/1.png\t0\npics/2.png\t0\n')
        return 'map.txt', 'pics'
    if arrangement == 'a file':
        (tmp_path / 'run').write_text('mine')
        return 'pics', 'run'
    if arrangement == 'below a file':
        (tmp_path / 'run').write_text('mine')
        return 'pics', 'run/a/b'
    if arrangement == 'a dangling link':
        (tmp_path / 'run').symlink_to('nowhere')
        return 'pics', 'run'
    if arrangement == 'a link to itself':
        (tmp_path / 'run').symlink_to('run')
        return 'pics', 'run'
    return 'pics', {'root': '/', 'home': os.path.expanduser('~'), 'nothing': '',
                    'proc': '/proc/x/y',
                    'long name': 'a/' + 'x' * 300, 'long path': 'a/' * 2500}[arrangement]


@pytest.mark.parametrize('how', ['', '--overwrite', '--resume'])
@pytest.mark.parametrize('arrangement, said', [
    ('data in out, dot', 'holds the images'), ('data in out, dots', 'holds the images'),
    ('out is data', 'holds the images'), ('out in data', 'inside of --data'),
    ('out in data through a link', 'inside of --data'),
    ('a link in data leads to out', 'holds the images'),
    ('a link in data leads to what will be out', 'holds the images'),
    ('a link in data leads above out', 'inside of --data'),
    ('foreign files', 'thesis.tex'), ('foreign config.json', 'config.json'),
    ('foreign list', '.files'), ('images of a map', '0.png'),
    ('a file', 'is a file'), ('below a file', 'no folder'), ('a dangling link', 'leads nowhere'),
    ('a link to itself', 'leads nowhere'), ('root', '--out /'), ('home', '--out'),
    ('nothing', 'names no folder'), ('proc', '/proc'), ('long name', 'too long'),
    ('long path', 'too long')])
def test_where_a_run_can_not_be(train, tmp_path, arrangement, said, how):
    data, out = place(tmp_path, arrangement)
    before = tree(tmp_path)
    sentence = train('--data', data, '--out', out, '--iterations', 1, *TINY, *[how] * bool(how)
                     ).sentence
    assert (said if how != '--resume' else 'holds no run') in sentence
    assert tree(tmp_path) == before


@pytest.mark.parametrize('arguments', [
    ['--data', 'none'], ['--batch-size', 9], ['--device', 'gpu'], ['--resume'],
    ['--data', 'pics/0.png'], ['--inception', 'none.onnx', '--score-every', 1],
    ['--allow-change', 'data'], ['--resume', '--overwrite']])
def test_what_is_refused_leaves_nothing_behind(train, tmp_path, arguments):
    write_images(tmp_path / 'pics')
    before = tree(tmp_path)
    assert train('--data', 'pics', '--out', 'deep/run', '--iterations', 1, *TINY,
                 *arguments).sentence
    assert tree(tmp_path) == before


@pytest.mark.slow
def test_a_run_with_its_images_inside_can_be_moved(run, train, tmp_path):
    """Such a run could be made by earlier versions."""
    shutil.move(str(tmp_path / 'pics'), str(run / 'pics'))
    before = tree(tmp_path)
    for how in ('--resume', '--overwrite'):
        assert 'holds the images' in train('--out', 'run', how, '--data', 'run/pics',
                                           '--iterations', 4, *TINY).sentence
        assert tree(tmp_path) == before
    shutil.move(str(run / 'pics'), str(tmp_path / 'moved'))
    assert train('--out', 'run', '--resume', '--data', 'moved', '--iterations', 4).code == 0


def test_images_of_a_map_file_in_the_run(run, train, tmp_path):
    (tmp_path / 'map.txt').write_text(''.join(
        'run/samples/step_00000%d.png\n' % i for i in (1, 2, 3)) + 'run/samples/real.png\n')
    assert 'holds images of --data' in train('--data', 'map.txt', '--out', 'run', '--overwrite',
                                             '--iterations', 1, *TINY).sentence


@pytest.mark.slow
def test_a_folder_above_is_no_place_for_a_link(train, tmp_path):
    """A link in the images that leads back is not followed, and so is not in the way."""
    pics = write_images(tmp_path / 'pics')
    (pics / 'up').symlink_to('..')
    assert train('--data', 'pics', '--out', 'run', '--iterations', 1, *TINY).code == 0


@pytest.mark.slow
def test_an_empty_folder_and_a_link_to_one_will_do(train, tmp_path):
    write_images(tmp_path / 'pics')
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'link').symlink_to('empty')
    assert train('--data', 'pics', '--out', 'link', '--iterations', 1, *TINY).code == 0
    assert (tmp_path / 'empty' / 'config.json').exists()


def test_leftovers_of_a_killed_run_go(run):
    folder = RunFolder(str(run))
    (run / '.files').write_text((run / '.files').read_text() + '\n.partial-99-')
    for name in ('.partial-99-3.model', 'samples/.partial-99-4.png', '.partial-98-1.png'):
        (run / name).write_text('x')
    folder.open()
    assert [p.name for p in sorted(run.glob('**/.partial*'))] == ['.partial-98-1.png']


def test_names_aside_are_free(tmp_path):
    for expected in ('a.kept', 'a.kept2', 'a.kept3'):
        (tmp_path / 'a').write_text('x')
        assert run_files.keep_aside(str(tmp_path / 'a')) == str(tmp_path / expected)


@pytest.mark.slow
@pytest.mark.parametrize('what', ['wgan.csv', 'config.json', '.files'])
def test_settings_of_the_users_in_a_run_are_kept(run, train, what):
    """Also where they stand in the place of the run's own."""
    (run / what).write_text('{"mine": 1}')
    assert train('--data', 'pics', '--out', 'run', '--overwrite', '--iterations', 1,
                 *TINY).code == 0
    if what != 'wgan.csv':
        assert json.loads((run / (what + '.kept')).read_text()) == {'mine': 1}


ODD = os.fsdecode(b'sp ace\nl\xe9 \xc3\xa9')


@pytest.mark.slow
def test_any_name_under_any_locale(a_run, train, command, tmp_path):
    """Begun under one locale and resumed under another; CNTK can't open such names itself."""
    shutil.copytree(str(a_run / 'pics'), str(tmp_path / ODD))
    begun = train('--data', ODD, '--out', 'run ' + ODD, '--iterations', 2, *TINY)
    assert begun.code == 0, begun.err
    for arguments in (['--iterations', 3], []):
        result = command('wgan_training.py', '--resume', '--out', 'run ' + ODD, *arguments,
                         LC_ALL='C')
        assert result.code == 0, result.err
    assert 'complete' in result.out
    names = os.listdir('run ' + ODD)
    assert 'training.gif' in names and 'wgan_critic.model' in names
    assert not [name for name in names if name.endswith('.kept')]
    refused = train('--data', ODD, '--out', 'run ' + ODD, '--iterations', 2, *TINY)
    assert 'holds a run already' in refused.sentence
