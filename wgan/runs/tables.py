"""The CSV files of a run: reads them, and removes rows that are newer than a checkpoint."""

import io
import os

import numpy as np
import pandas as pd

from wgan.machine.command_line import one_line, warn
from wgan.machine.disk import keep_aside, replacing


def loss_columns(updates):
    """Returns the header of wgan.csv. updates: the Updates."""
    return ['step', *updates.columns, 'seconds']


def continue_table(path, columns, step, every_step):
    """Removes rows after `step` from a CSV file, so that the run can continue it. Creates it if it
    is missing.

    columns: its header; the first column is the step. every_step: whether each step must have a
    row, from the first to the last.
    A file that the run did not write is renamed, and a new table begins. Returns whether a new
    table begins. Raises OSError if a file can't be read or written.
    """
    rows = _lines(path, columns, step, every_step)
    if rows is None:
        warn('%s %s; the table begins again after iteration %d' % (
            one_line(path), 'is not what the run wrote, and is now ' + one_line(keep_aside(path))
            if os.path.lexists(path) else 'is missing', step))
    with replacing(path) as aside, open(aside, 'w') as file:
        file.writelines(line + '\n' for line in [','.join(columns)] + (rows or []))
    return rows is None


def _lines(path, columns, step, every_step):
    """Returns the lines up to `step`, without the header; None if the file is damaged."""
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    try:
        with open(path, encoding='utf-8-sig') as file:
            header, *lines = file.read().split('\n')
        if lines and lines[-1].count(',') < header.count(','):
            lines.pop()                                 # an incomplete row of a killed run
        if header != ','.join(columns) or every_step and not lines:
            return None
        # The resumed run writes rows newer than the checkpoint again.
        rows = [line for line in lines if line and int(line.split(',')[0]) <= step]
        table = pd.read_csv(io.StringIO('\n'.join([header] + rows)), dtype=float)
    except ValueError:
        return None
    steps = table['step'].values
    expected = np.arange(step - len(steps) + 1, step + 1) if every_step else np.unique(steps)
    is_whole = (np.array_equal(steps, expected) and (steps > 0).all()
                and all(line.count(',') == header.count(',') for line in rows)
                and np.isfinite(table.values).all())
    return rows if is_whole else None


def has_step(path, step):
    """Whether a CSV file that a run wrote has a row of this step."""
    with open(path, encoding='utf-8', errors='replace') as file:
        return any(line.startswith('%d,' % step) and line.endswith('\n') for line in file)
