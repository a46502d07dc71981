"""The folder of a run: its files, checkpoints, tables, and how it continues."""
