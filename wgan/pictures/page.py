"""A page of runs: one HTML file with its curves, samples and settings, which needs no network.

The script that draws the curves is plotly's, and lies in the file.
"""

import base64
import html
import json
import os
import string
import time

from wgan.datasets.image_decoder import ImageReader
from wgan.datasets.images import IMAGE_SIZES
from wgan.generators.files import GENERATORS, Generator, config_of
from wgan.machine.command_line import UserError, one_line
from wgan.machine.disk import replacing
from wgan.pictures.animation import FRAMES, evenly, find_grids, read_grids
from wgan.pictures.data_neighbours import data_neighbours
from wgan.pictures.findings import findings
from wgan.pictures.latent_sheets import latent_sheets
from wgan.pictures.sample_numbers import ratios
from wgan.pictures.plotting import (
    FEW, GAP_SMOOTH, limits_without_peak, moving_average, panels_of, read_losses, run_names)
from wgan.scores.score_table import DATA_SINCE, HELD_OUT

import cv2
import numpy as np
import pandas as pd

LARGEST = 10 ** 7               # bytes of a page; plotly takes 3.6 million
ROOM = 24 * 10 ** 5             # for the samples of all runs
LATENT_ROOM = 22 * 10 ** 5      # for images of latents
POINTS = 40000                  # of all curves; a curve has at most LONGEST
LONGEST = 3000
LINES = 64                      # of a sample of text that are shown
COLOURS = ['#1f77b4', '#ff7f0e', '#2ca02c', '#d62728', '#9467bd', '#8c564b', '#e377c2', '#7f7f7f',
           '#bcbd22', '#17becf']
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TEMPLATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'page.html')


class RunView:
    """What a page shows of a run.

    config: what config.json says, or {}. losses, scores: tables, or None. samples: [(step, data
    address of a JPEG, or lines of text), …]. missing: sentences on what it lacks.
    """

    def __init__(self, folder, name, room):
        """room: how many characters the samples may take."""
        self.folder, self.name, self.missing = folder, name, []
        self.config = self._read(_read_config, 'config.json') or {}
        self.losses = self._read(read_losses, 'wgan.csv')
        has_scores = os.path.lexists(self.path('scores.csv'))
        self.scores = self._read(read_losses, 'scores.csv') if has_scores else None
        self.samples = self._fitting(self._images() or self._texts(), room)
        if not os.path.lexists(self.path('config.json')):
            self.missing.append('config.json does not exist; it has the settings')
        if not self.samples:
            self.missing.append('samples/ has no sample that can be read; training writes one '
                                'every --sample-every iterations')
        if not (self.config or self.losses is not None or self.samples or self.generator_file):
            raise UserError('%s holds no run: no config.json, wgan.csv, samples or generator'
                            % one_line(folder))

    def path(self, name):
        return os.path.join(self.folder, name)

    def _inside(self, error):
        """What an error says, with names inside of the folder: others may read the page."""
        return str(error).replace(os.path.join(self.folder, ''), '')

    @property
    def generator_file(self):
        """Of its best generator; None if there is none."""
        return next(filter(os.path.isfile, map(self.path, GENERATORS)), None)

    def latents(self):
        """Images of its generator as `latent_sheets` gives them; None if there are none to be had,
        which is said on the page.
        """
        try:
            self.generator = Generator(self.generator_file, of_text=False)
            return latent_sheets(self.generator, jpeg, LATENT_ROOM)
        except (UserError, OSError) as error:
            self.missing.append('Latents to play with: ' + self._inside(error))
            return None

    def sample_ratios(self):
        """Those of its last sample grid, or None."""
        size = self.config.get('settings', {}).get('image_size')
        return ratios(self.folder, size, ImageReader('left out')) if size in IMAGE_SIZES else None

    def _read(self, read, name):
        try:
            return read(self.path(name))
        except (UserError, OSError) as error:
            self.missing.append(self._inside(error))
            return None

    def _images(self):
        reader, count = ImageReader('left out'), len(find_grids(self.folder))
        images = read_grids(self.folder, reader)
        if count > FRAMES:
            self.missing.append('Of %d sample grids, %d are shown, evenly spread'
                                % (count, FRAMES))
        if reader.unreadable:
            self.missing.append('Sample grids that can not be read are left out: '
                                + ', '.join(sorted(map(os.path.basename, reader.unreadable))))
        return [(step, jpeg(image)) for step, image in images]

    def _texts(self):
        found, texts = find_grids(self.folder, '.txt'), []
        for step, path in evenly(found, FRAMES):
            with open(path, encoding='utf-8', errors='replace') as file:
                lines = [line.rstrip('\n') for _, line in zip(range(LINES), file)]
            texts.append((step, '\n'.join(lines)))
        if len(found) > FRAMES:
            self.missing.append('Of %d samples, %d are shown, evenly spread' % (
                len(found), FRAMES))
        return texts

    def _fitting(self, samples, room):
        """As many of the samples, evenly spread, as there is room for."""
        count = len(samples)
        while len(samples) > 1 and sum(len(sample) for _, sample in samples) > room:
            samples = samples[::-2][::-1]                       # the last stays
        if len(samples) < count:
            self.missing.append('For want of room, %d of %d samples are shown'
                                % (len(samples), count))
        return samples


def _read_config(path):
    config = config_of(path)
    if config and not isinstance(config['settings'], dict):
        raise UserError('%s is not what a run wrote' % one_line(path))
    return config


def read_runs(folders):
    """RunViews of these folders. Raises UserError if one holds no run, or is given twice."""
    for folder in folders:
        if not os.path.isdir(folder):
            raise UserError('%s is not a folder; name the folder of a run' % one_line(folder))
    names = run_names([os.path.join(folder, 'wgan.csv') for folder in folders])
    return [RunView(folder, name, ROOM // len(folders)) for folder, name in zip(folders, names)]


def check_page(path):
    """Raises UserError if the name is not that of a page."""
    if not path.lower().endswith(('.html', '.htm')):
        raise UserError('%s: a page is written as .html' % one_line(path))


def jpeg(image, quality=85):
    """An RGB image as a data address."""
    _, data = cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
                           [cv2.IMWRITE_JPEG_QUALITY, quality])
    return 'data:image/jpeg;base64,' + base64.b64encode(data.tobytes()).decode()


def write_page(path, runs, neighbours=None):
    """Write the page of RunViews; returns its size in bytes. It has latents to play with of the
    first of the runs that has a generator of images.

    neighbours: folder or map file of real images, to show those nearest to generated ones.
    Raises UserError if it would be larger than LARGEST, and if there are no neighbours to show;
    OSError if it can't be written.
    """
    docs = os.path.relpath(os.path.join(ROOT, 'docs'), os.path.dirname(os.path.realpath(path)))
    curves = figure(runs)
    playing, latents = next(((run, dict(sheets, run=run.name)) for run in runs if run.generator_file
                             for sheets in [run.latents()] if sheets), (None, None))
    data = {'figure': curves, 'latents': latents,
            'samples': [{'steps': [step for step, _ in run.samples],
                         'frames': [sample for _, sample in run.samples]} for run in runs]}
    with open(TEMPLATE, encoding='utf-8') as file:
        page = string.Template(file.read()).substitute(
            title=_text(', '.join(run.name for run in runs)),
            written=time.strftime('%Y-%m-%d %H:%M'),
            runs=''.join(_run_section(i, run, docs) for i, run in enumerate(runs)),
            curves='' if curves else 'hidden',
            latents='' if latents else 'hidden', settings=_settings(runs),
            neighbours='' if neighbours is None else _neighbours(playing, neighbours),
            plotly=plotly_script() if curves else '',
            # No tag can end in it, and no number is NaN.
            data=json.dumps(data, allow_nan=False).replace('<', '\\u003c'))
    page = page.encode('utf-8', 'backslashreplace')
    if len(page) > LARGEST:
        raise UserError('the page would be %.1f MB, and a page is at most %d MB; name fewer runs'
                        % (len(page) / 1e6, LARGEST // 10 ** 6))
    with replacing(path) as aside, open(aside, 'wb') as file:
        file.write(page)
    return len(page)


def plotly_script():
    from plotly.offline import get_plotlyjs                 # takes a second
    return get_plotlyjs()


# Curves

def figure(runs):
    """Data and layout of plotly's figure, a panel for each column; None without a curve."""
    tables = [(i, table) for i, run in enumerate(runs) for table in (run.losses, run.scores)
              if table is not None]
    panels = panels_of([table for _, table in tables])
    if not panels:
        return None
    curves = [(number, i, name, table) for number, (column, _, _) in enumerate(panels, 1)
              for i, table in tables for name in (column, column + HELD_OUT) if name in table]
    points = min(LONGEST, POINTS // len(curves))
    traces, height = [], 1 / len(panels)
    layout = {'autosize': True, 'height': 80 + 200 * len(panels), 'hovermode': 'x',
              'modebar': {'orientation': 'v'}, 'shapes': _other_data(tables),
              'margin': {'l': 70, 'r': 15, 't': 30, 'b': 45},
              'legend': {'orientation': 'h', 'y': 1, 'yanchor': 'bottom', 'x': 0},
              'xaxis': {'title': {'text': 'iteration'}, 'anchor': 'y%d' % len(panels)}}
    for number, (column, label, target) in enumerate(panels, 1):
        shown = [(i, name, table) for n, i, name, table in curves if n == number]
        for i, name, table in shown:
            traces += _traces(runs[i].name, COLOURS[i % len(COLOURS)], name, table, number, points)
        limits = limits_without_peak([table[name].values for _, name, table in shown]
                                     + [np.array([target] * 2)] * (target is not None))
        top = 1 - (number - 1) * height
        axis = {'domain': [max(0, top - 0.88 * height), top], 'anchor': 'x',
                'title': {'text': label.replace('\n', '<br>'), 'font': {'size': 12}}}
        layout['yaxis%d' % number] = dict(axis, range=list(limits)) if limits else axis
        if target is not None:
            layout['shapes'].append(_line(xref='paper', x0=0, x1=1, yref='y%d' % number,
                                          y0=target, y1=target))
    known = set()
    for trace in traces:                    # a curve of each name is in the legend, and moves all
        trace['showlegend'] = trace['name'] not in known
        known.add(trace['name'])
    return {'data': traces, 'layout': layout}


def _traces(run, colour, column, table, panel, points):
    """The curve of a column, and of a long one behind it each iteration, pale."""
    held_out = column.endswith(HELD_OUT)
    name = run + (', held out' if held_out else '')
    is_long = 'C_loss' in table and len(table) >= FEW
    parts = [rows.set_index('step')[column] for _, rows in table.groupby(DATA_SINCE)]
    style = {'color': colour, 'dash': 'dot' if held_out else 'solid'}

    def trace(name, curves, digits, **more):
        steps, values = _joined([_thinned(curve, points) for curve in curves])
        return dict({'name': name, 'legendgroup': name, 'type': 'scatter', 'yaxis': 'y%d' % panel,
                     'x': steps, 'meta': column,
                     'y': [float('%.*g' % (digits, y)) if np.isfinite(y) else None
                           for y in values]}, **more)

    if not is_long:
        return [trace(name, parts, 9, mode='lines+markers', line=style)]
    return [trace(name + ', each iteration', parts, 9, mode='lines', opacity=0.3,
                  line=dict(style, width=1)),
            trace(name, [moving_average(curve, GAP_SMOOTH) for curve in parts], 6, mode='lines',
                  line=style)]


def _thinned(curve, points):
    """A long Series without most of its rows. Of each stretch the smallest and the largest value
    stay, so no peak is lost, and one that is NaN.
    """
    if len(curve) <= points:
        return curve
    values = curve.values
    chosen = {0, len(values) - 1}
    for stretch in np.array_split(np.arange(len(values)), points // 3):
        part = values[stretch]
        is_nan = np.isnan(part)
        chosen |= {stretch[np.where(is_nan, np.inf, part).argmin()],
                   stretch[np.where(is_nan, -np.inf, part).argmax()], stretch[is_nan.argmax()]}
    return curve.iloc[sorted(chosen)]


def _joined(curves):
    """Steps and values of curves in a row, with a gap after each."""
    steps, values = [], []
    for curve in curves:
        steps += [int(step) for step in curve.index] + [None]
        values += list(curve.values) + [np.nan]
    return steps[:-1], values[:-1]


def _other_data(tables):
    """A line where a run began to be measured against other data."""
    steps = {int(step) for _, table in tables for step in table[DATA_SINCE] if step > 0}
    return [_line(xref='x', x0=step, x1=step, yref='paper', y0=0, y1=1) for step in sorted(steps)]


def _line(**ends):
    return dict(ends, type='line', line={'dash': 'dash', 'width': 1})


# Text

def _text(value):
    return html.escape(value if isinstance(value, str) else json.dumps(value))


def _run_section(number, run, docs):
    """What one run is, what its curves say, and its samples."""
    lines = []
    for good, sentence, rule, page in findings(run.losses, run.scores, run.sample_ratios()):
        lines.append('<li class="%s">%s <small>%s <a href="%s">%s</a></small></li>' % (
            {True: 'good', False: 'bad', None: 'open'}[good], _text(sentence), _text(rule),
            _text(os.path.normpath(os.path.join(docs, page))),
            _text(os.path.basename(page).partition('#')[0])))
    lines += ['<li class="missing">%s.</li>' % _text(sentence.rstrip('.'))
              for sentence in run.missing]
    samples = ('<div class="samples" data-run="%d"></div>' % number) if run.samples else ''
    return '<section><h2>%s</h2><p>%s</p><ul>%s</ul>%s</section>' % (
        _text(run.name), _text(_progress(run)), ''.join(lines), samples)


def _progress(run):
    """How far it is, how long it took, and on what."""
    settings, parts = run.config.get('settings', {}), []
    if run.losses is not None:
        parts.append('%d of %s iterations' % (run.losses['step'].iloc[-1],
                                              settings.get('iterations', '?')))
        if 'seconds' in run.losses and run.losses['seconds'].notna().any():
            seconds = run.losses['seconds']
            parts.append('%s, %.3g seconds an iteration' % (_duration(seconds.sum()),
                                                            seconds.median()))
    parts += ['%s: %s' % (name, run.config[name]) for name in ('device', 'kernels')
              if name in run.config]
    return '; '.join(parts)


def _duration(seconds):
    minutes = int(seconds // 60)
    return ('%d seconds' % seconds if minutes < 2 else '%d minutes' % minutes if minutes < 120
            else '%.1f hours' % (minutes / 60))


def _neighbours(run, source):
    """The section with real images. run: a RunView with a generator of images, or None."""
    if run is None:
        raise UserError('--neighbours: none of the runs has a generator of images whose images '
                        'could be compared')
    sheet, count, trained_on = data_neighbours(run.generator, source, run.config)
    return (
        '<section id="neighbours"><h2>Neighbours in the data</h2><p>In each row an image that %s '
        'generates, and the nearest of %s images of %s, by their pixels at 32 × 32. <b>These are '
        'real images.</b> A generator that copies makes nearly the same. <span class="%s">%s</span>'
        '</p><img alt="generated images and their neighbours" src="%s"></section>' % (
            _text(run.name), '{:,}'.format(count), _text(one_line(source)),
            {True: 'good', False: 'bad', None: 'open'}[trained_on],
            {True: 'It was trained on them.',
             False: 'It was not trained on them: config.json has another checksum.',
             None: 'config.json does not say whether it was trained on them.'}[trained_on],
            jpeg(sheet)))


def _settings(runs):
    """A table of the settings in which the runs differ, and one of all."""
    known = pd.DataFrame({i: pd.Series(_flat(run.config), dtype=object)
                          for i, run in enumerate(runs)}, dtype=object).fillna('')
    if known.empty:
        return ''
    names = [run.name for run in runs]
    full = '<details><summary>All settings</summary>%s</details>' % _table(known, names)
    if len(runs) == 1:
        return full
    differing = known[(known.T != known[0]).any()]
    return '<h2>In which settings the runs differ</h2>%s%s' % (
        '<p>In none.</p>' if differing.empty else _table(differing, names), full)


def _flat(config):
    """The settings first, then all else that config.json has, as {name: text}."""
    rest = {name: value for name, value in config.items() if name != 'settings'}
    return {name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for values in (config.get('settings', {}), rest) for name, value in values.items()}


def _table(frame, names):
    head = ''.join('<th>%s</th>' % _text(name) for name in [''] + names)
    rows = ''.join('<tr><th>%s</th>%s</tr>' % (
        _text(name), ''.join('<td>%s</td>' % _text(value) for value in row))
        for name, row in zip(frame.index, frame.values))
    return '<div class="wide"><table><tr>%s</tr>%s</table></div>' % (head, rows)
