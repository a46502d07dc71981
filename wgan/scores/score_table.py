"""scores.csv: a row for each step that was scored."""

import os

import pandas as pd

DATA_SINCE = 'data_since'    # the iteration of the last change of the data, for each row
HELD_OUT = '_held_out'       # suffix of the columns for held-out data


class ScoreTable:
    """The rows of a CSV file, which may already have some. The best step is the one with the lowest
    number in the column `decisive`, among rows for the same data.

    data_since: the iteration of the last change of the data.
    """

    def __init__(self, csv, columns, decisive):
        self.csv, self.columns, self.decisive, self.data_since = csv, columns, decisive, 0

    def is_better(self, row):
        """Whether a row is better than all in the file. row: a dict without DATA_SINCE."""
        rows = rows_since(self.csv, self.data_since)
        return rows.empty or not (
            rows[self.decisive] <= float('%.9g' % row[self.decisive])).any()

    def append(self, row):
        """Writes a row, a dict without DATA_SINCE."""
        if not os.path.exists(self.csv):
            with open(self.csv, 'w') as file:
                file.write(','.join(self.columns) + '\n')
        row = dict(row, **{DATA_SINCE: self.data_since})
        with open(self.csv, 'a') as file:
            file.write(','.join('%.9g' % row[name] for name in self.columns) + '\n')

    @property
    def best_step(self):
        """The best step so far, or None."""
        rows = rows_since(self.csv, self.data_since)
        return None if rows.empty else int(rows['step'][rows[self.decisive].idxmin()])


def rows_since(csv, data_since):
    """Returns the rows for these data, a DataFrame; empty without a file."""
    if not os.path.exists(csv):
        return pd.DataFrame()
    with open(csv) as file:                         # pandas fails on some file names
        table = pd.read_csv(file)
    return table[table[DATA_SINCE] == data_since]
