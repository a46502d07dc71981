"""scores.csv: a row for each step that was scored."""

import os

import pandas as pd


class ScoreTable:
    """The rows of a CSV file, those that it holds already too. The step with the lowest number in
    the column `decisive` is the best.
    """

    def __init__(self, csv, columns, decisive):
        self.csv, self.columns, self.decisive = csv, columns, decisive

    def append(self, row):
        """Write a row, a dict with all columns; True if none before was as good."""
        if not os.path.exists(self.csv):
            with open(self.csv, 'w') as file:
                file.write(','.join(self.columns) + '\n')
        with open(self.csv, 'a') as file:
            file.write(','.join('%.9g' % row[name] for name in self.columns) + '\n')
        return self.best_step == row['step']

    @property
    def best_step(self):
        """The best step so far, or None."""
        if not os.path.exists(self.csv):
            return None
        with open(self.csv) as file:                # pandas fails on some names of files
            table = pd.read_csv(file)
        return None if table.empty else int(table['step'][table[self.decisive].idxmin()])
