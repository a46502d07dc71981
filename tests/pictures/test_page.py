"""wgan_page.py: what a page says of runs and of what is missing, and that it works in a browser."""

import base64
import html
import json
import re
import shutil
import subprocess

import cv2
import numpy as np
import pandas as pd
import pytest

from helpers import TINY, expected_images, latents_of, write_images
import models
import text_models
from wgan.datasets.images import to_images
from wgan.datasets.labels import one_hot
from wgan.generators.directions import directions
from wgan.generators.evaluation import (
    evaluate_in_training, generate, label_input, latent_input)
from wgan.generators.files import Generator
from wgan.generators.latents import draw_latents, walk
from wgan.machine.cntk import C
from wgan.pictures import page as module
from wgan.pictures.latent_sheets import latent_sheets
from wgan.pictures.plotting import read_losses

CONFIG = {'settings': {'n_critic': 5, 'seed': 3, 'iterations': 400, 'data': 'pics'},
          'versions': {'cntk': '2.7'}, 'device': 'cpu'}
CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser')


@pytest.fixture(scope='module', autouse=True)
def short_script():
    """Plotly's script is 3.6 MB; the browser is tested with it."""
    before, module.plotly_script = module.plotly_script, lambda: '/* plotly */'
    yield
    module.plotly_script = before


def make_run(folder, seed=3, count=400, held_out=True):
    """A run of images with losses, scores and samples, written by hand."""
    (folder / 'samples').mkdir(parents=True)
    (folder / 'config.json').write_text(json.dumps(dict(
        CONFIG, settings=dict(CONFIG['settings'], seed=seed))))
    step, rng = np.arange(1, count + 1), np.random.RandomState(seed)
    table = pd.DataFrame({'step': step, 'G_loss': rng.randn(count), 'C_loss': -5 + 500 / step,
                          'wasserstein': 5 + rng.randn(count), 'grad_norm': 1.1,
                          'seconds': 0.5})
    if held_out:
        table['wasserstein_held_out'] = 2 + rng.randn(count)
    table.to_csv(str(folder / 'wgan.csv'), index=False, float_format='%.9g')
    (folder / 'scores.csv').write_text('step,inception_score_mean,fid,kid_mean,coverage\n'
                                       '100,1,90,1,0.5\n200,1,70,1,0.1\n')
    for i in range(5):
        cv2.imwrite(str(folder / 'samples' / ('step_%06d.png' % (100 * i + 1))),
                    np.full((64, 64, 3), (40 * i, 0, 0), np.uint8))
    return folder


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / 'run')


@pytest.fixture
def written(script, tmp_path):
    """written('run', …): the text of the page, and what lies in it for its script."""
    def call(*arguments):
        result = script('wgan_page.py', *arguments, '--out', 'page.html', '--force')
        assert result.code == 0, result.err
        text = (tmp_path / 'page.html').read_text()
        data = json.loads(re.search('type="application/json">(.*?)</script>', text).group(1))
        return html.unescape(text), data
    return call


def curve(data, name, column):
    return next(trace for trace in data['figure']['data']
                if trace['name'] == name and trace['meta'] == column)


def test_what_a_page_has(written, run):
    text, data = written('run')
    assert '400 of 400 iterations; 3 minutes, 0.5 seconds an iteration; device: cpu' in text
    for sentence in ('The critic overfits', 'Mode collapse: coverage is 0.1, and was 0.5 at most',
                     'Still improving: FID was best, 70', 'The gradient norm is near 1',
                     'docs/runs.md#does-the-critic-overfit'):
        assert sentence in text
    assert data['samples'][0]['steps'] == [1, 101, 201, 301, 401]
    image = cv2.imdecode(np.frombuffer(base64.b64decode(
        data['samples'][0]['frames'][2].partition(',')[2]), np.uint8), 1)
    assert image.shape == (64, 64, 3) and np.abs(image - [80, 0, 0]).max() < 6
    assert '<th>iterations</th><td>400</td>' in text and 'runs differ' not in text


def test_its_numbers_are_those_of_the_tables(written, run):
    _, data = written('run')
    table = pd.read_csv(str(run / 'wgan.csv'), float_precision='round_trip')
    for name in ('G_loss', 'wasserstein', 'C_loss'):
        trace = curve(data, 'run, each iteration', name)
        assert trace['x'] == list(table['step']) and trace['y'] == list(table[name])
        np.testing.assert_allclose(curve(data, 'run', name)['y'],
                                   table[name].ewm(alpha=0.02).mean(), rtol=1e-5)
    trace = curve(data, 'run, held out, each iteration', 'wasserstein_held_out')
    assert trace['y'] == list(table['wasserstein_held_out'])
    assert curve(data, 'run', 'fid')['y'] == [90, 70]
    low, high = data['figure']['layout']['yaxis1']['range']         # the peak of C_loss leaves
    assert low > -10 and high < 40
    assert sum(trace['showlegend'] for trace in data['figure']['data']) == 4


def test_a_curve_has_gaps_where_its_table_has(written, run):
    with open(str(run / 'wgan.csv'), 'a') as file:
        file.write('401,nan,1,1,1,1,1\n402,inf,1,1,1,1,1\n403,0.5,1,1,1,1,1\n')
    (run / 'scores.csv').write_text('step,inception_score_mean,fid,kid_mean,data_since\n'
                                    '100,1,90,1,0\n200,1,70,1,150\n')
    _, data = written('run')
    assert curve(data, 'run, each iteration', 'G_loss')['y'][-3:] == [None, None, 0.5]
    assert curve(data, 'run', 'fid')['y'] == [90, None, 70]
    assert [line['x0'] for line in data['figure']['layout']['shapes'] if line['xref'] == 'x'] == [
        150]


@pytest.mark.slow
def test_several_runs(written, run, tmp_path):
    make_run(tmp_path / 'other' / 'run', seed=4)
    text, data = written('run', 'other/run')
    names = {trace['name'] for trace in data['figure']['data']}
    assert {'other/run', 'other/run, each iteration'} < names
    differing = re.search('runs differ</h2>(.*?)<details>', text).group(1)
    assert '<tr><th>seed</th><td>3</td><td>4</td></tr>' in differing
    assert 'iterations' not in differing
    make_run(tmp_path / 'same')
    assert 'In none.' in written('run', 'same')[0]


@pytest.mark.slow
def test_a_long_run_keeps_its_peaks(written, run):
    count = 50000
    values = np.random.RandomState(0).randn(count)
    values[[20000, 30000]] = 99, np.nan
    pd.DataFrame({'step': np.arange(1, count + 1), 'G_loss': values, 'C_loss': 1.0}).to_csv(
        str(run / 'wgan.csv'), index=False, float_format='%.9g', na_rep='nan')
    _, data = written('run')
    trace, table = curve(data, 'run, each iteration', 'G_loss'), read_losses(str(run / 'wgan.csv'))
    assert len(trace['x']) <= 3010 and trace['x'][-1] == count and None in trace['y']
    known = dict(zip(table['step'], table['G_loss']))
    assert all(known[x] == y for x, y in zip(trace['x'], trace['y']) if y is not None)
    assert max(y for y in trace['y'] if y is not None) == 99


@pytest.mark.slow
def test_many_samples_are_thinned_out(written, run):
    for step in range(1000, 11000):
        (run / 'samples' / ('step_%06d.png' % step)).symlink_to(run / 'samples' / 'step_000401.png')
    text, data = written('run')
    assert 'Of 10005 sample grids, 60 are shown, evenly spread' in text
    steps = data['samples'][0]['steps']
    assert len(steps) == 60 and (steps[0], steps[-1]) == (1, 10999)


@pytest.mark.slow
def test_samples_that_take_too_much_room(written, run):
    noise = np.random.RandomState(0).randint(0, 256, (512, 512, 3)).astype(np.uint8)
    for step in range(1000, 1060):
        cv2.imwrite(str(run / 'samples' / ('step_%06d.png' % step)), noise)
    text, data = written('run')
    assert re.search('For want of room, [0-9]+ of 60 samples are shown', text)
    assert len(text) < module.ROOM + 10 ** 6 and data['samples'][0]['steps'][-1] == 1059


def test_a_page_that_would_be_too_large(script, run, monkeypatch):
    monkeypatch.setattr(module, 'LARGEST', 20000)
    assert 'name fewer runs' in script('wgan_page.py', 'run', '--out', 'x.html').sentence


def test_text(written, run):
    """Lines, which are never read as HTML; and beside a run of images."""
    for path in (run / 'samples').iterdir():
        path.unlink()
    (run / 'samples' / 'step_000005.txt').write_text('a\n</script><b>ü\n')
    (run / 'samples' / 'step_000010.txt').write_bytes(b'\xff\n' + b'x\n' * 100)
    text, data = written('run')
    assert data['samples'][0]['frames'][0] == 'a\n</script><b>ü'
    assert data['samples'][0]['frames'][1].count('x') == 63
    assert text.count('</script>') == 3


@pytest.mark.parametrize('name, content, said', [
    ('wgan.csv', 'step,G_loss\n1,2\n', 'wgan.csv lacks the column C_loss'),
    ('wgan.csv', 'step,G_loss,C_loss\n1,2\n', 'wgan.csv, line 2: it has 2 fields'),
    ('wgan.csv', b'\xff\xfe\x00', 'wgan.csv is no CSV file: it is not UTF-8 text'),
    ('wgan.csv', 'step,G_loss,C_loss\n', 'wgan.csv has no rows yet'),
    ('scores.csv', 'nonsense', 'scores.csv is no CSV file'),
    ('config.json', '{', 'config.json is damaged: it is not what training wrote'),
    ('config.json', '{"settings": 3}', 'config.json is not what a run wrote'),
    ('samples/step_000101.png', 'x', 'can not be read are left out: step_000101.png'),
    ('wgan.csv', None, 'wgan.csv does not exist'),
    ('config.json', None, 'config.json does not exist'),
    ('samples', None, 'samples/ has no sample that can be read')])
def test_what_is_damaged_or_missing_is_said_on_the_page(written, run, name, content, said):
    path = run / name
    if content is None:
        shutil.rmtree(str(path)) if path.is_dir() else path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    text, data = written('run')
    assert said in text and data['figure'] is not None


def test_a_run_with_samples_only(written, run):
    for name in ('wgan.csv', 'scores.csv', 'config.json'):
        (run / name).unlink()
    text, data = written('run')
    assert data['figure'] is None and '<section hidden>' in text and len(data['samples']) == 1


def test_seconds_that_are_no_numbers(written, run):
    (run / 'wgan.csv').write_text('step,G_loss,C_loss,seconds\n1,1,1,x\n')
    assert '1 of 400 iterations; device: cpu' in written('run')[0]


def test_names_are_text(written, tmp_path):
    make_run(tmp_path / '<b>&"')
    text, data = written('<b>&"')
    raw = (tmp_path / 'page.html').read_text()
    assert '<h2>&lt;b&gt;&amp;&quot;</h2>' in raw and '<b>' not in raw
    assert curve(data, '<b>&"', 'fid')['y'] == [90, 70]


@pytest.mark.parametrize('arguments, said', [
    (['nothing'], 'nothing is not a folder; name the folder of a run'),
    (['run/wgan.csv'], 'is not a folder'), (['.'], '. holds no run'),
    (['run', './run'], 'is given twice'), (['run', '--out', 'x.png'], 'a page is written as .html'),
    (['run', '--out', 'no/x.html'], 'the folder')])
def test_bad_input(script, run, arguments, said):
    arguments += [] if '--out' in arguments else ['--out', 'x.html']
    assert said in script('wgan_page.py', *arguments).sentence


def test_it_does_not_overwrite(script, run, tmp_path):
    (tmp_path / 'x.html').write_text('mine')
    assert '--force' in script('wgan_page.py', 'run', '--out', 'x.html').sentence
    assert (tmp_path / 'x.html').read_text() == 'mine'


# Latents

def tiles(sheet, columns):
    """The images in a sheet of a page, (rows, columns, side, side, 3), RGB."""
    image = cv2.imdecode(np.frombuffer(base64.b64decode(sheet.partition(',')[2]), np.uint8), 1)
    side = image.shape[1] // columns
    return image[:, :, ::-1].reshape(-1, side, columns, side, 3).swapaxes(1, 2)


def assert_alike(a, b):
    assert np.abs(a.astype(float) - b).mean() < 10          # they went through JPEG


@pytest.mark.slow
def test_latents_to_play_with(written, untrained):
    latents = written('run')[1]['latents']
    assert latents['run'] == 'run' and len(latents['moved']) == 12 and len(latents['mixed']) == 11
    z = np.random.RandomState(0).standard_normal((12, 5)).astype(np.float32)
    expected = expected_images(untrained, z)
    assert_alike(tiles(latents['images'], 12)[0], expected)
    count, steps = latents['directions'], latents['steps']
    assert (count, steps, latents['labels']) == (5, 7, [''] * 12)       # as large as the latent
    generator = Generator(str(untrained)).network
    for i in (0, 11):
        moved = z[i] + np.linspace(-3, 3, 7)[:, None] * directions(generator, 5)[:, None]
        assert_alike(tiles(latents['moved'][i], 7).reshape(-1, 32, 32, 3),
                     expected_images(untrained, moved.reshape(-1, 5).astype(np.float32)))
    row = tiles(latents['mixed'][2], 7)[4]                              # from 2 to 7
    assert_alike(row, expected_images(untrained, walk(z[[2, 7]], 7, False, False)[0]))


def save_labelled_generator(run):
    """A generator with three labels, untrained."""
    network = models.generator(32, latent_size=5, width=2, seed=1, labels=3)
    evaluate_in_training(network, {
        latent_input(network): latents_of(0, 60), label_input(network): one_hot([0, 1, 2] * 20, 3)})
    network.save(str(run / 'wgan_generator.model'))
    return network


@pytest.mark.slow
def test_latents_of_labels_take_turns(script, written, tmp_path):
    network = save_labelled_generator(make_run(tmp_path / 'run'))
    latents = written('run')[1]['latents']
    assert latents['labels'][:4] == ['0', '1', '2', '0']
    labels = one_hot([0, 1, 2, 0] * 3, 3)
    z = draw_latents(12, 5, 0)
    assert_alike(tiles(latents['images'], 12)[0], to_images(generate(network, z, 12, labels)))
    assert latents['rows'][1] == ['Direction %d' % i for i in range(1, 6)] + ['To 2', 'To 0']
    rows = tiles(latents['moved'][1], 7)                # of the latent 1, which has the label 1
    for row, (begin, end) in ((5, (1, 2)), (6, (1, 0))):
        t = np.linspace(0, 1, 7, dtype='f')[:, None]
        way = (1 - t) * one_hot([begin], 3) + t * one_hot([end], 3)
        assert_alike(rows[row], to_images(generate(network, z[[1] * 7], 7, way)))
    assert_alike(rows[2, 3], to_images(generate(network, z[[1]], 1, one_hot([1], 3)))[0])


@pytest.mark.slow
@pytest.mark.parametrize('count, rows', [(2, 1), (7, 6), (10, 6)])
def test_rows_for_few_and_many_labels(tmp_path, count, rows):
    models.generator(32, latent_size=2, width=2, seed=1, labels=count).save(str(tmp_path / 'x'))
    sheets = latent_sheets(Generator(str(tmp_path / 'x')), module.jpeg, 10 ** 7)
    assert {len(names) for names in sheets['rows']} == {2 + rows}
    assert all(len(set(names)) == 2 + rows for names in sheets['rows'])
    assert sheets['rows'][1][2] == 'To %d' % (2 % count)
    assert len(sheets['moved']) == 12 and len(tiles(sheets['moved'][0], 7)) == 2 + rows


def test_labels_without_a_dense_layer_and_neither_of_them(tmp_path):
    latent, label = C.input_variable(16, name='latent'), C.input_variable(2, name='label')
    image = C.reshape(C.tanh(latent), (1, 4, 4))
    (image + C.reduce_sum(label)).save(str(tmp_path / 'labels'))
    image.save(str(tmp_path / 'neither'))
    with_labels, neither = (latent_sheets(Generator(str(tmp_path / name)), module.jpeg, 10 ** 7)
                            for name in ('labels', 'neither'))
    assert with_labels['rows'][:2] == [['To 1'], ['To 0']] and len(with_labels['moved']) == 12
    assert neither['rows'] == [[]] * 12 and neither['moved'] == [] and len(neither['mixed']) == 11


def test_latents_that_take_too_much_room(untrained):
    generator = Generator(str(untrained))
    small = latent_sheets(generator, module.jpeg, 50000)
    assert small['side'] == 32 and tiles(small['images'], 12).shape[2] < 32


def test_latents_of_text_and_of_a_damaged_file(written, run):
    generator = run / 'wgan_generator.model'
    text_models.generator(8, 6, 5, width=2, seed=1).save(str(generator))
    text, data = written('run')
    assert data['latents'] is None and 'is a generator of text' in text
    generator.write_bytes(b'x')
    text, data = written('run')
    assert data['latents'] is None
    assert 'Latents to play with: cannot read' in text
    assert 'wgan_generator.model as a CNTK model' in text


# A window has at least 500 pixels; a frame in it may have fewer.
FRAME = '''
<iframe src="used.html" style="width: %dpx; height: 2000px; border: 0"></iframe>
<pre id="outcome"></pre>
<script>
addEventListener('message', event => document.getElementById('outcome').textContent = event.data);
</script>
'''
# Moves what a user can move, and says what became of it.
USE = '''
<script>
const outcome = {errors: []}, played = new Set();
setInterval(() => played.add(document.querySelector('input').value), 100);
addEventListener('error', event => outcome.errors.push(event.message));
const waiting = setInterval(() => {
  if (played.size < 3) return;                          // drawing the curves may keep it
  clearInterval(waiting);
  const image = document.querySelector('.samples img'), slider = document.querySelector('input');
  outcome.played = [...played];
  slider.value = 1;
  slider.dispatchEvent(new Event('input'));
  outcome.shown = image.src === data.samples[0].frames[1];
  outcome.label = document.querySelector('output').textContent;
  const item = document.querySelectorAll('.legendtoggle')[0], name = data.figure.data[0].name;
  for (const type of ['mousedown', 'mouseup'])
    item.dispatchEvent(new MouseEvent(type, {bubbles: true}));
  const large = document.querySelector('.large'), [first, second] = document.querySelectorAll(
    '.directions input');
  outcome.moved = [large.style.backgroundPosition];
  document.querySelectorAll('.choice div')[3].click();
  first.value = 1;
  first.dispatchEvent(new Event('input'));
  second.value = 6;
  second.dispatchEvent(new Event('input'));
  outcome.moved.push(first.value, large.style.backgroundPosition,
                     large.style.backgroundImage === `url("${data.latents.moved[3]}")`,
                     document.querySelectorAll('.choice .chosen').length, large.clientHeight);
  const last = [...document.querySelectorAll('.directions > div')].pop();
  outcome.toLabel = [last.querySelector('output').textContent, last.querySelector('input').value];
  last.querySelector('input').value = 6;
  last.querySelector('input').dispatchEvent(new Event('input'));
  outcome.toLabel.push(large.style.backgroundPosition, second.value);
  setTimeout(() => {
    const traces = document.getElementById('curves').data;
    outcome.off = traces.filter(trace => trace.visible === 'legendonly').map(trace => trace.name);
    outcome.all = traces.filter(trace => trace.name === name).length;
    outcome.drawn = document.querySelectorAll('#curves .trace.scatter').length;
    outcome.plot = [document.querySelector('#curves .main-svg').clientWidth,
                    document.getElementById('curves').clientWidth, innerWidth];
    outcome.neighbours = document.querySelector('#neighbours img').clientWidth;
    outcome.wide = document.documentElement.scrollWidth;
    outcome.requests = performance.getEntriesByType('resource').map(entry => entry.name).filter(
      name => !name.startsWith('data:'));
    parent.postMessage(JSON.stringify(outcome), '*');
  }, 1000);
}, 100);
</script>
'''


def in_browser(page, width):
    """What USE found in a page, and what the browser wrote into its console."""
    page.with_name('used.html').write_text(page.read_text().replace('</body>', USE + '</body>'))
    page.with_name('frame.html').write_text(FRAME % width)
    result = subprocess.run(
        [CHROMIUM, '--headless=old', '--no-sandbox', '--disable-gpu', '--enable-logging=stderr',
         '--virtual-time-budget=60000', '--window-size=1400,2000',
         '--user-data-dir=%s' % page.with_name('profile'), '--dump-dom',
         'file://%s' % page.with_name('frame.html')],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    found = re.search('<pre id="outcome">(.*?)</pre>', result.stdout.decode()).group(1)
    console = [line for line in result.stderr.decode().splitlines() if 'CONSOLE' in line]
    return json.loads(html.unescape(found)), console


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason='needs a browser: apt-get install chromium')
@pytest.mark.parametrize('width', [1280, 400])
def test_in_a_browser(command, tmp_path, width):
    make_run(tmp_path / 'run')
    save_labelled_generator(tmp_path / 'run')
    assert command('wgan_page.py', 'run', '--out', 'page.html', '--neighbours',
                   write_images(tmp_path / 'pics')).code == 0
    assert (tmp_path / 'page.html').stat().st_size < 5e6
    outcome, console = in_browser(tmp_path / 'page.html', width)
    assert console == [] and outcome['errors'] == [] and outcome['requests'] == []
    assert len(outcome['played']) > 2 and outcome['shown']
    assert outcome['label'] == 'iteration 101'
    # Seven rows: five directions, and to two labels. The chosen image, the fourth, has label 0.
    assert outcome['moved'] == ['50% 0%', '3', '100% 16.6667%', True, 2, 256]
    assert outcome['toLabel'] == ['To 2', '0', '100% 100%', '3']
    assert outcome['all'] == len(outcome['off']) and set(outcome['off']) == {'run, each iteration'}
    assert outcome['drawn'] > 8 and outcome['wide'] <= width
    assert 300 < outcome['neighbours'] < min(width, 641)
    assert outcome['plot'][0] <= outcome['plot'][1] < width


@pytest.mark.slow
def test_a_run_of_the_training(command, images, tmp_path):
    """As it is written, with labels in its rows."""
    result = command('wgan_training.py', '--data', images, '--out', 'run', '--iterations', 2,
                     '--hold-out', 0.3, *TINY)
    assert result.code == 0, result.err
    assert command('wgan_page.py', 'run', '--out', 'page.html').code == 0
    text = (tmp_path / 'page.html').read_text()
    assert '2 of 2 iterations' in text and 'too early to judge' in text
    assert '<th>image_size</th><td>32</td>' in text
