"""Files that have to be complete, and outputs that are checked before the work."""

import os

import pytest

from wgan.machine.command_line import UserError, check_outputs
from wgan.machine.disk import replacing


def test_a_file_is_replaced_when_it_is_complete(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    path.chmod(0o640)
    with replacing(str(path)) as aside:
        assert aside.endswith('.txt') and os.path.dirname(aside) == str(tmp_path)
        with open(aside, 'w') as file:
            file.write('new')
        assert path.read_text() == 'old'
    assert path.read_text() == 'new' and path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(str(tmp_path)) == ['a.txt']


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt])
def test_what_was_there_stays_if_the_writing_fails(tmp_path, error):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with pytest.raises(error):
        with replacing(str(path)):
            raise error
    assert path.read_text() == 'old' and os.listdir(str(tmp_path)) == ['a.txt']


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / 'real.txt').write_text('old')
    (tmp_path / 'link.txt').symlink_to('real.txt')
    with replacing(str(tmp_path / 'link.txt')) as aside:
        with open(aside, 'w') as file:
            file.write('new')
    assert (tmp_path / 'link.txt').is_symlink() and (tmp_path / 'real.txt').read_text() == 'new'


def test_only_regular_files_are_replaced(tmp_path):
    os.mkfifo(str(tmp_path / 'fifo'))
    for path in (str(tmp_path), str(tmp_path / 'fifo'), os.devnull, str(tmp_path / 'no' / 'x')):
        with pytest.raises(OSError) as raised:
            with replacing(path):
                pass
        assert raised.value.filename == path


def test_a_full_disk_is_named(tmp_path):
    with pytest.raises(OSError) as raised:
        with replacing(str(tmp_path / 'a')):
            with open('/dev/full', 'w') as file:
                file.write('x' * 100000)
    assert raised.value.filename == str(tmp_path / 'a') and not os.listdir(str(tmp_path))


def test_outputs_are_checked_before_the_work(tmp_path):
    (tmp_path / 'there').write_text('mine')
    os.mkfifo(str(tmp_path / 'fifo'))
    for name, said in (('there', '--force overwrites it'), ('', 'is a folder'),
                       ('fifo', 'not a regular file'), ('no/x', 'does not exist'),
                       ('there/x', 'does not exist')):
        with pytest.raises(UserError, match=said):
            check_outputs(None, str(tmp_path / name), force=False)
    check_outputs(str(tmp_path / 'there'), str(tmp_path / 'new'), force=True)
    with pytest.raises(UserError, match='written twice'):
        check_outputs(str(tmp_path / 'new'), str(tmp_path / '.' / 'new'), force=True)
    with pytest.raises(UserError, match='can not be written'):
        check_outputs('/proc/x', force=False)
    assert sorted(os.listdir(str(tmp_path))) == ['fifo', 'there']
