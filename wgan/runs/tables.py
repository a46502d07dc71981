"""The CSV files of a run, brought back to a checkpoint before the run continues, and repaired.

Spreadsheets and editors change such files: separators, line ends, lines that are blank or out of
order. What can be read is kept; where anything had to be put right, the file as it was stays
beside, under another name.
"""

import csv
import math
import os
import re
import shutil

from wgan.machine.command_line import one_line, warn
from wgan.machine.disk import replacing, sync
from wgan.runs.files import free_name, keep_aside


NUMBER = re.compile(r'[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,4})?')


def continue_table(path, columns, step, every_step, last=None):
    """Leave the rows up to `step` in a CSV file, and make the file if it is not there.

    columns: its header; the first column is the step. every_step: whether there has to be a row
    for each. last: what the last column has in a table that was begun without it; None: it must be
    there. Rows after the step, and half a row at the end, as a kill leaves them, go without a
    word: the run will write them again, the same. What else is wrong is said, and mended.
    Returns whether rows were lost. Raises OSError if the file can't be read or written.
    """
    if not os.path.lexists(path):
        text, rows, wrong, lost = '', [], ['it was not there'], True
    elif not os.path.isfile(path):
        text, rows, wrong, lost = '', [], ['it was no file, and is now %s'
                                           % one_line(keep_aside(path))], True
    else:
        with open(path, 'rb') as file:
            text = file.read().decode('utf-8-sig', 'replace')
        rows, wrong, lost = _read(text, columns, step, last)
    missing = step - len(rows) if every_step else 0
    if missing:
        wrong.append('%d of the %d rows up to iteration %d are missing' % (missing, step, step))
    if wrong:
        kept = _copy(path) if text else None
        warn('%s was mended: %s%s' % (one_line(path), '; '.join(wrong), (
            ', the file as it was is %s' % one_line(kept)) if kept else ''))
    if os.path.islink(path):                            # to a file that is not the run's
        warn('%s was a link, which is now %s' % (one_line(path), one_line(keep_aside(path))))
    with replacing(path) as aside:
        with open(aside, 'w') as file:
            file.writelines(','.join(row) + '\n' for row in [columns] + rows)
    return lost or missing > 0


def has_step(path, step):
    """Whether a CSV file has a row of this step."""
    with open(path, encoding='utf-8', errors='replace') as file:
        return any(re.match(r'"?0*%d"?[,;].*\n' % step, line) for line in file)


def _read(text, columns, step, last):
    """(rows up to `step`, list of what is wrong, whether rows are lost) of a CSV's text."""
    wrong, added = [], []
    lines = text.replace('\0', '').splitlines()
    if last is not None and lines and lines[0].strip() == ','.join(columns[:-1]):
        columns, added = columns[:-1], [last]
    if not text.endswith('\n') and lines and _fields(lines[-1], ',', columns) is None:
        lines.pop()                                     # half a row
    header = lines[0] if lines else ''
    semicolons = header.count(';') > header.count(',') or (
        header.strip() == '' and text.count(';') > text.count(','))
    separator = ';' if semicolons else ','
    if semicolons:
        wrong.append('it had semicolons')
    if [name.strip(' "') for name in header.split(separator)] == columns:
        lines = lines[1:]
    else:
        wrong.append('it did not begin with the header')
    if any(not line.strip() for line in lines):
        wrong.append('it had blank lines')
    found = [_fields(line, separator, columns) for line in lines if line.strip()]
    rows = {int(row[0]): row for row in found if row is not None}
    bad = found.count(None)
    if bad:
        wrong.append('%d line%s no row of numbers' % (bad, ' was' if bad == 1 else 's were'))
    order = [int(row[0]) for row in found if row is not None]
    if order != sorted(rows):
        wrong.append('its rows were out of order, or there twice')
    return [rows[n] + added for n in sorted(rows) if n <= step], wrong, bad > 0 or not rows


def _copy(path):
    kept = free_name(path)
    shutil.copy2(path, kept)
    sync(kept)
    return kept


def _fields(line, separator, columns):
    """The fields of a row, as text that pandas reads; None if it is none."""
    try:
        fields, = csv.reader([line], delimiter=separator)
    except (ValueError, csv.Error):                     # a blank line; one that can't be read
        return None
    fields = [field.strip().replace(',', '.') for field in fields]
    whole = (len(fields) == len(columns) and re.fullmatch('0*[1-9][0-9]{0,11}', fields[0])
             and all(NUMBER.fullmatch(f) and math.isfinite(float(f)) for f in fields))
    return fields if whole else None
