"""Where a run may be, under any name; that --overwrite renames, and that the user's files stay."""

import json
import os
import shutil

import pytest

from helpers import TINY, tree, write_images
from wgan.machine.disk import keep_aside


@pytest.mark.slow
def test_overwrite_renames_the_run(run, train, tmp_path):
    """All that is in its folder stays as it was, the user's files too."""
    (run / 'samples' / 'cat.png').write_text('mine')
    before = tree(run)
    for name in ('run.1', 'run.2'):
        result = train('--data', 'pics', '--out', 'run', '--overwrite', '--iterations', 1,
                       '--seed', 1, *TINY)
        assert result.code == 0 and 'the run that was in run is now ' in result.err
        assert (tmp_path / name).is_dir()
    assert tree(tmp_path / 'run.1') == before
    assert config(run)['settings']['seed'] == config(tmp_path / 'run.2')['settings']['seed'] == 1
    assert sorted(os.listdir(str(run / 'samples'))) == ['real.png', 'step_000001.png']
    # It can go on where it is now, and under its old name.
    assert train('--out', 'run.1', '--resume', '--iterations', 4).code == 0
    shutil.rmtree(str(run))
    (tmp_path / 'run.1').rename(run)
    assert train('--out', 'run', '--resume', '--iterations', 5).code == 0


@pytest.mark.slow
def test_overwrite_of_a_link_and_of_the_working_directory(run, train, tmp_path, monkeypatch):
    before = tree(run)
    (tmp_path / 'link').symlink_to('run')
    again = ['--overwrite', '--iterations', 1, *TINY]
    assert train('--data', 'pics', '--out', 'link', *again).code == 0
    assert tree(tmp_path / 'run.1') == before and (tmp_path / 'link').is_symlink()
    second = tree(run)
    monkeypatch.chdir(str(run))
    assert train('--data', '../pics', '--out', '.', *again).code == 0
    assert tree(tmp_path / 'run.2') == second and (run / 'config.json').exists()


@pytest.mark.slow
@pytest.mark.parametrize('name', ['training.gif', 'samples', 'samples/step_000004.png'])
def test_what_is_no_file_in_the_way_gets_another_name(run, train, name):
    """A folder in the place of a file; a file in the place of a folder."""
    if (run / name).is_dir():
        shutil.rmtree(str(run / name))
        (run / name).write_text('mine')
    else:
        (run / name).exists() and (run / name).unlink()
        (run / name).mkdir()
        (run / name / 'x').write_text('mine')
    result = train('--out', 'run', '--resume', '--iterations', 4)
    assert result.code == 0 and name + '.kept1' in result.err
    aside = run / (name + '.kept1')
    assert (aside / 'x' if aside.is_dir() else aside).read_text() == 'mine'


def config(run):
    return json.loads((run / 'config.json').read_text())


LINKED = ['config.json', 'wgan.csv', 'losses.png', 'training.gif', 'wgan_generator.model',
          'wgan_critic.model', '.lock', 'samples/step_000003.png', 'samples/real.png']


@pytest.mark.slow
@pytest.mark.parametrize('how', ['--resume', '--overwrite', 'complete'])
def test_nothing_is_written_through_a_link(run, train, tmp_path, how):
    """A link in the place of one of the run's files leads to a file of the user's."""
    for name in LINKED:
        target = tmp_path / ('mine ' + name.replace('/', ' '))
        target.write_bytes((run / name).read_bytes() if name == 'wgan.csv' else b'mine')
        (run / name).unlink()
        (run / name).symlink_to(target)
    before = {path.name: path.read_bytes() for path in tmp_path.glob('mine *')}
    arguments = {'--resume': ['--resume', '--iterations', 4], 'complete': ['--resume'],
                 '--overwrite': ['--overwrite', '--data', 'pics', '--iterations', 3] + TINY}[how]
    result = train('--out', 'run', *arguments)
    assert result.code == 0, result.err
    assert {path.name: path.read_bytes() for path in tmp_path.glob('mine *')} == before
    assert not (run / 'wgan.csv').is_symlink() and not (run / 'config.json').is_symlink()


# By name: what is where the run is to be ({path: text}, and {link: where it leads}), --data, --out,
# and what the error says.
PLACES = {
    'data in out, dot': ({}, {}, 'pics', '.', 'pics'),
    'data in out, dots': ({}, {}, 'pics', 'pics/..', 'pics'),
    'out is data': ({}, {}, 'pics', './pics/', '0.png'),
    'foreign files': ({'run/thesis.tex': 'mine'}, {}, 'pics', 'run', 'thesis.tex'),
    'foreign config.json': ({'run/config.json': '{"settings": {"port": 80}}'}, {}, 'pics', 'run',
                            'config.json'),
    'images of a map': ({'map.txt': 'pics/1.png\t0\npics/2.png\t0\n'}, {}, 'map.txt', 'pics',
                        '0.png'),
    'a file': ({'run': 'mine'}, {}, 'pics', 'run', 'is no folder'),
    'below a file': ({'run': 'mine'}, {}, 'pics', 'run/a/b', 'no folder'),
    'a dangling link': ({}, {'run': 'nowhere'}, 'pics', 'run', 'leads nowhere'),
    'a link to itself': ({}, {'run': 'run'}, 'pics', 'run', 'leads nowhere'),
    'root': ({}, {}, 'pics', '/', '--out /'),
    'home': ({}, {}, 'pics', os.path.expanduser('~'), '--out'),
    'nothing': ({}, {}, 'pics', '', 'names no folder'),
    'proc': ({}, {}, 'pics', '/proc/x/y', '/proc'),
    'long name': ({}, {}, 'pics', 'a/' + 'x' * 300, 'too long'),
    'long path': ({}, {}, 'pics', 'a/' * 2500, 'too long'),
}


@pytest.mark.parametrize('how', ['', '--overwrite', '--resume'])
@pytest.mark.parametrize('place', list(PLACES))
def test_where_a_run_can_not_be(train, tmp_path, place, how):
    files, links, data, out, said = PLACES[place]
    write_images(tmp_path / 'pics')
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
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


def test_data_inside_of_a_run(run, train, tmp_path):
    shutil.move(str(tmp_path / 'pics'), str(run / 'pics'))
    before = tree(run)
    for how in ('--resume', '--overwrite'):
        for data in ('run/pics', 'run'):
            assert 'is inside of --out run' in train(
                '--out', 'run', how, '--data', data, '--iterations', 4, *TINY).sentence
    assert tree(run) == before


@pytest.mark.slow
@pytest.mark.parametrize('out', ['pics/run', 'runs/run', 'link/run'])
def test_a_run_is_no_data(train, tmp_path, out):
    """A run among its images, also where a link leads to it, is passed over when it goes on."""
    pics = write_images(tmp_path / 'pics')
    (tmp_path / 'link').symlink_to('pics')
    (tmp_path / 'runs').mkdir()
    (pics / 'more').symlink_to('../runs')
    (pics / 'up').symlink_to('..')
    assert train('--data', 'pics', '--out', out, '--iterations', 1, *TINY).code == 0
    result = train('--out', out, '--resume', '--iterations', 2)
    assert result.code == 0, result.err
    assert config(tmp_path / out)['images'] == 8


@pytest.mark.slow
def test_an_empty_folder_and_a_link_to_one_will_do(train, tmp_path):
    write_images(tmp_path / 'pics')
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'link').symlink_to('empty')
    assert train('--data', 'pics', '--out', 'link', '--iterations', 1, *TINY).code == 0
    assert (tmp_path / 'empty' / 'config.json').exists()


@pytest.mark.slow
def test_leftovers_of_a_killed_run_go(run, train):
    for name in ('.partial-9999999-3.model', 'samples/.partial-9999999-4.png', '.partial-x'):
        (run / name).write_text('x')
    assert train('--out', 'run', '--resume').code == 0
    assert [p.name for p in sorted(run.glob('**/.partial*'))] == ['.partial-x']


def test_names_aside_are_free(tmp_path):
    for expected in ('a.kept1', 'a.kept2', 'a.kept3'):
        (tmp_path / 'a').write_text('x')
        assert keep_aside(str(tmp_path / 'a')) == str(tmp_path / expected)


@pytest.mark.slow
def test_settings_of_the_users_in_a_run_are_kept(run, train):
    """Also where they stand in the place of the run's own."""
    (run / 'config.json').write_text('{"mine": 1}')
    assert train('--out', 'run', '--resume', '--iterations', 4).code == 0
    assert json.loads((run / 'config.json.kept1').read_text()) == {'mine': 1}


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
    assert not [name for name in names if '.kept' in name]
    refused = train('--data', ODD, '--out', 'run ' + ODD, '--iterations', 2, *TINY)
    assert 'holds a run already' in refused.sentence
