"""The CSV files of a run, read with pandas, and brought back to a checkpoint to continue there."""

import io
import os

import numpy as np
import pandas as pd

from wgan.machine.command_line import one_line, warn
from wgan.machine.disk import keep_aside, replacing


def continue_table(path, columns, step, every_step):
    """Cut a CSV file off after `step`, where the run continues; make it if it is not there.

    columns: its header; the first column is the step. every_step: whether there has to be a row
    for each, from the first to the last.
    A file that is not what the run wrote keeps its content under another name, and the table
    begins again. Returns whether it did. Raises OSError if a file can't be read or written.
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
    """The lines up to `step`, without the header; None if the file is not what a run wrote."""
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    try:
        with open(path, encoding='utf-8-sig') as file:
            header, *lines = file.read().split('\n')
        if lines and lines[-1].count(',') < header.count(','):
            lines.pop()                                 # half a row, as a kill leaves it
        if header != ','.join(columns) or every_step and not lines:
            return None
        # Rows newer than the checkpoint are written again.
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
