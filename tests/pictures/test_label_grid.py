"""Names beside a grid: in a font that has their letters, or as numbers."""

import struct

import numpy as np
import pytest

from wgan.pictures import label_grid as module
from wgan.pictures.label_grid import DEFAULT_FONT, find_font, label_grid, readable


def font_with(path, letters):
    """A font in which each of `letters` (a dict) looks as its value does in DejaVu Sans."""
    with open(DEFAULT_FONT, 'rb') as file:
        data = bytearray(file.read())
    original = module.FT2Font(DEFAULT_FONT)
    groups = b''.join(struct.pack('>III', ord(new), ord(new), original.get_char_index(ord(old)))
                      for new, old in sorted(letters.items()))
    table = struct.pack('>HHHHI', 0, 1, 3, 10, 12) + struct.pack(
        '>HHIII', 12, 0, 16 + len(groups), 0, len(letters)) + groups
    entry = next(at for at in range(12, 12 + 16 * struct.unpack('>H', data[4:6])[0], 16)
                 if data[at:at + 4] == b'cmap')
    struct.pack_into('>II', data, entry + 8, len(data), len(table))
    path.write_bytes(bytes(data) + table)
    return str(path)


@pytest.fixture
def system(monkeypatch):
    """system(paths, shaping=True): the fonts of the system; and whether letters can be joined."""
    functions = (module.find_font, module._fonts, module._letters_of)

    def clear():
        for function in functions:
            function.cache_clear()

    def have(paths, shaping=True):
        clear()
        monkeypatch.setattr(module, 'findSystemFonts', lambda: list(paths))
        monkeypatch.setattr(module.features, 'check', lambda _: shaping)
    yield have
    clear()


def margin(name):
    """What is drawn beside an image."""
    return label_grid(np.zeros((1, 32, 32, 3), np.uint8), [name], 1)[:, :-32]


def test_a_font_of_the_system_has_the_letters(system, tmp_path, capfd):
    (tmp_path / 'damaged.ttf').write_bytes(b'no font')
    chinese = font_with(tmp_path / 'b.ttf', {'猫': 'A', '犬': 'B', ' ': ' '})
    hindi = font_with(tmp_path / 'c.ttf', {'ह': 'C', '\u093f': 'D'})
    system([str(tmp_path / 'damaged.ttf'), chinese, hindi])
    names = ['cat', '猫', '猫 犬', 'हि', 'été', 'עברית']
    assert readable(names) == names and capfd.readouterr().err == ''
    assert [find_font(name) for name in names] == [
        DEFAULT_FONT, chinese, chinese, hindi, DEFAULT_FONT, DEFAULT_FONT]
    np.testing.assert_array_equal(margin('猫 犬'), margin('A B'))
    assert margin('猫').min() < 60


def test_numbers_where_no_font_has_them(system, tmp_path, capfd):
    system([font_with(tmp_path / 'a.ttf', {'猫': 'A'})])
    assert readable(['猫', '犬', 'cat', '猫a', '']) == ['猫', '1', 'cat', '3', '']
    said = capfd.readouterr().err
    assert said.count('warning') == 1 and 'the labels 犬 (1), 猫a (3): the number stands' in said
    assert 'fribidi' not in said


def test_letters_that_are_joined(system, tmp_path, capfd):
    """Where nothing can do that, they would be another word."""
    system([font_with(tmp_path / 'a.ttf', {'ह': 'C', '\u093f': 'D'})], shaping=False)
    assert readable(['हि', 'עברית', 'ह', 'é']) == ['0', '1', 'ह', 'é']
    assert 'and libfribidi0, without which' in capfd.readouterr().err


def test_names_that_are_long_or_not_printable(system):
    system([])
    np.testing.assert_array_equal(margin('x' * 40), margin('x' * 23 + '…'))
    assert margin('x' * 24).shape[1] != margin('x' * 25).shape[1]
    np.testing.assert_array_equal(margin('\udce9'), margin('\\udce9'.join("''")))
    assert find_font('می\u200cخواهم') == DEFAULT_FONT               # a joiner is not drawn
