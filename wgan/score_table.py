"""scores.csv: a row for each step that was scored."""

import os

import pandas as pd


class ScoreTable:
    """The rows of a CSV file, those that it holds already too. The step with the lowest number in
    the column `decisive` is the best.
    """

    def __init__(self, csv, columns, decisive):
        self.csv, self.columns, self.decisive = csv, columns, decisive

    def is_better(self, row):
        """Whether no row that is written is as good as this one, a dict with all columns."""
        table = self._read()
        return not (table[self.decisive] <= float('%.9g' % row[self.decisive])).any()

    def append(self, row):
        """Write a row."""
        if not os.path.exists(self.csv):
            with open(self.csv, 'w') as file:
                file.write(','.join(self.columns) + '\n')
        with open(self.csv, 'a') as file:
            file.write(','.join('%.9g' % row[name] for name in self.columns) + '\n')

    @property
    def best_step(self):
        """The best step so far, or None."""
        table = self._read()
        return None if table.empty else int(table['step'][table[self.decisive].idxmin()])

    def has(self, step):
        """Whether there is a row of this step."""
        return step in set(self._read()['step'])

    def _read(self):
        if not os.path.exists(self.csv):
            return pd.DataFrame(columns=self.columns)
        with open(self.csv) as file:                # pandas fails on some names of files
            return pd.read_csv(file)
