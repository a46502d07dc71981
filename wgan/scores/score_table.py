"""scores.csv: a row for each step that was scored."""

import os

import pandas as pd

# Ends the name of a column that has the same of what is held out.
HELD_OUT = '_held_out'
# The iteration after which the data are those that a row was measured against.
DATA_SINCE = 'data_since'
HELD_OUT = '_held_out'       # ends the name of a column that has the same of what is held out


class ScoreTable:
    """The rows of a CSV file, those that it holds already too. The step with the lowest number in
    the column `decisive` is the best, of those that were measured against the same data.

    data_since: the iteration after which the data are what they are now.
    """

    def __init__(self, csv, columns, decisive):
        self.csv, self.columns, self.decisive, self.data_since = csv, columns, decisive, 0

    def is_better(self, row):
        """Whether no row that is written is as good as this one, a dict with all columns but
        DATA_SINCE.
        """
        rows = rows_since(self.csv, self.data_since)
        return rows.empty or not (
            rows[self.decisive] <= float('%.9g' % row[self.decisive])).any()

    def append(self, row):
        """Write a row, a dict with all columns but DATA_SINCE."""
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
    """The rows that were measured against these data, as a DataFrame; empty without a file."""
    if not os.path.exists(csv):
        return pd.DataFrame()
    with open(csv) as file:                         # pandas fails on some names of files
        table = pd.read_csv(file)
    return table[table[DATA_SINCE] == data_since]
