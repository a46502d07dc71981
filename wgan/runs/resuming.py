"""Continuing a run: its settings as a command line, what may be other now, what changed."""

import argparse
import os
import sys

from wgan.machine import processes
from wgan.runs import checkpoint
from wgan.machine.command_line import UserError, one_line, warn
from wgan.machine.device import cntk_cards, kernels
from wgan.machine.disk import as_path, as_text
from wgan.runs.folder import versions

# What decides nothing of what the weights become, and is no setting of the run.
SWITCHES = ('resume', 'overwrite', 'allow_change', 'out', 'device')
# What may differ when a run is resumed; all else decides what the weights become.
FREE_TO_CHANGE = ('iterations', 'sample_every', 'checkpoint_every', 'tensorboard', 'score_every',
                  'data')                       # whether the images are the same is seen later
# These may be new when a run is resumed, but not other than its earlier scores had them.
SCORING = ('inception', 'score_count', 'resize', 'scale', 'features_output', 'classes_output',
           'engine')
# What --allow-change can name: what takes effect from the next iteration on.
CHANGEABLE = ('data', 'learning_rate', 'batch_size', 'n_critic', 'n_critic_boost', 'beta1', 'beta2',
              'brightness', 'contrast', 'saturation')
PATHS = ('data', 'inception', 'start_from')


def option_of(name):
    return '--' + name.replace('_', '-')


def settings_of(options):
    """What is kept of the options: settings, and how many processes there are."""
    return dict({name: as_text(value) for name, value in vars(options).items()
                 if name not in SWITCHES}, processes=processes.COUNT)


def paths_of(options):
    """Where the files stood that the options name, whatever the working directory is later."""
    return {name: as_text(os.path.abspath(getattr(options, name))) for name in PATHS
            if getattr(options, name)}


def resumed_options(out, make_parser):
    """(options, config, changes) of a run that is resumed.

    out: its RunFolder. make_parser: returns the parser of the command line. config: what its
    config.json says. changes: [{'setting', 'from', 'to'}, …] of what --allow-change let through.
    Raises UserError for settings that can't be used, and for differences that are not allowed.
    """
    config = out.read_config()
    where = one_line(out.path('config.json'))
    saved = _saved_options(config, make_parser, where)
    processes_then = config['settings'].get('processes', 1)
    if processes_then != processes.COUNT:
        raise UserError('--resume: the run in %s was trained by %s processes, and now there are %d'
                        % (out.shown, processes_then, processes.COUNT))
    own = sys.argv[1:]
    defaults = make_parser()
    defaults.set_defaults(**vars(saved))
    options = defaults.parse_args(own)
    _find_moved(options, config, make_parser().parse_args(['--data', ''] + own))
    free = FREE_TO_CHANGE + SWITCHES + (() if saved.score_every else SCORING)
    before, now = vars(saved), vars(options)
    changed = [name for name in sorted(before) if name not in free and before[name] != now[name]
               and not (name in PATHS and _same_file(
                   before[name], now[name], _kept_path(config, name)))]
    refused = [name for name in changed if name not in options.allow_change]
    if refused:
        allowed = [name for name in refused if name in CHANGEABLE]
        raise UserError('--resume: the run in %s has other settings: %s%s' % (
            out.shown, '; '.join('%s was %s and is now %s' % (n, before[n], now[n])
                                 for n in refused),
            '; --allow-change %s continues with the new ones' % ','.join(
                n.replace('_', '-') for n in allowed) if allowed == refused else ''))
    return options, config, [{'setting': name, 'from': before[name], 'to': now[name]}
                             for name in changed]


def _saved_options(config, make_parser, where):
    """The settings in a config.json as the parser would have them from a command line."""
    settings = {name: value for name, value in config['settings'].items()
                if name not in SWITCHES + ('processes',)}
    known = vars(make_parser().parse_args([]))
    unknown = sorted(set(settings) - set(known))
    missing = sorted(set(known) - set(settings) - set(SWITCHES))
    if unknown or missing:
        raise UserError('%s %s %s: it is damaged, or of another version of this project, which can '
                        'continue with the run' % (where, 'has the setting' if unknown else 'lacks',
                                                   one_line(', '.join(unknown or missing))))
    try:
        settings = {name: as_path(value) if isinstance(value, str) else value
                    for name, value in settings.items()}
        saved = make_parser().parse_args([argument for name, value in sorted(settings.items())
                                          for argument in _as_arguments(name, value, known[name])])
    except UnicodeError as error:
        raise UserError('%s is damaged: %s' % (where, one_line(repr(error.object))))
    except UserError as error:
        raise UserError('%s is damaged: %s' % (where, error))
    for name, value in sorted(settings.items()):
        if not _agree(value, getattr(saved, name)):
            raise UserError('%s is damaged: %s is %s' % (where, name, one_line(repr(value))[:80]))
    # It goes on where it began, if that can be: a GPU rounds in another way.
    began_on = config.get('device')
    saved.device = ('cpu' if began_on == 'cpu' else
                    'gpu' if began_on == 'gpu' and cntk_cards() else 'auto')
    return saved


def _agree(value, parsed):
    """Whether a setting in JSON is what the parser made of it: also of the same type."""
    return (value == parsed and isinstance(value, bool) == isinstance(parsed, bool)
            or value is False and parsed is None)


def _as_arguments(name, value, default):
    """A setting as arguments of a command line; those of a wrong type as something it refuses."""
    if value is None:
        return []
    if isinstance(value, bool):                                 # a switch
        flag = {'mirror': '--no-mirror'}.get(name, option_of(name))
        return [flag] if value != bool(default) else []
    text = value if isinstance(value, str) else repr(value)
    return ['%s=%s' % (option_of(name), text.replace('\0', '\\0'))]


def _find_moved(options, config, given):
    """Let the paths of the options lead to what they did when the run was last resumed.

    given: the options of the command line alone. A relative path is kept with the place where it
    led to; where nothing is there, it counts from the working directory.
    """
    for name in PATHS:
        path = _kept_path(config, name)
        if path and not getattr(given, name) and (
                os.path.exists(path) or not os.path.exists(getattr(options, name) or '')):
            setattr(options, name, path)


def _kept_path(config, name):
    """The absolute path in a config.json; None if there is none that can be one."""
    try:
        path = as_path(config['paths'][name])
    except (KeyError, TypeError, AttributeError, UnicodeError):
        return None
    return None if '\0' in path else path


def _same_file(before, now, kept):
    return None not in (before, now) and os.path.realpath(now) in map(
        os.path.realpath, (before, kept or before))


def names_to_change(text):
    """An argparse type: a list of settings with commas between them, as their names here."""
    names = tuple(name.strip().replace('-', '_') for name in text.split(','))
    wrong = [name for name in names if name not in CHANGEABLE]
    if wrong:
        raise argparse.ArgumentTypeError('%r can not be changed; these can: %s' % (
            wrong[0], ', '.join(n.replace('_', '-') for n in CHANGEABLE)))
    return names


def restore(path, updates, batches, held_out, rng, digest, config, options):
    """Bring everything to the state of the checkpoint `path`.

    held_out: minibatches too, or None. digest: of the data that there is now. Returns the change
    of the data that --allow-change let through, as a list of one or none. Raises UserError if
    it is other data than before and it did not.
    """
    state, manifest = checkpoint.restore(path, updates.trainers), checkpoint.read_manifest(path)
    checkpoint.set_random_state(rng, state)
    updates.restore(state)
    then, lengths = manifest.get('data_sha256'), (len(state['order']), len(batches.items))
    if _same_data(then, digest, lengths):
        batches.order, batches.position = state['order'], int(state['position'])
        if held_out and len(state['held_out_order']) == len(held_out.items):
            held_out.order = state['held_out_order']
            held_out.position = int(state['held_out_position'])
    else:
        batches.begin_epoch()
    # Others than the checkpoint's, if they were changed before.
    if _same_data(config.get('data_sha256', then), digest, lengths):
        return []
    source, kind = one_line(batches.items.source), batches.items.kind
    if held_out or 'data' not in options.allow_change:
        raise UserError('--resume: %s; %s' % (
            '%s had %d readable %s and now has %d' % (
                source, lengths[0], batches.items.noun, lengths[1])
            if lengths[0] != lengths[1] else
            'the %s in %s are not those that the run was trained on' % (kind, source),
            'a run with --hold-out can not continue with others, some of which it would hold out '
            'after it was trained on them' if held_out else
            '--allow-change data continues with them'))
    return [{'setting': 'data', 'from': config['settings']['data'], 'to': as_text(options.data),
             kind: len(batches.items)}]


def _same_data(then, now, lengths):
    """By their digests; runs of earlier versions have none, and their number has to do."""
    return then == now or (then is None and lengths[0] == lengths[1])


def about_run(options, device, batches, held_out, config, changes, step, **known):
    """What config.json and the checkpoints tell of a run. step: where `changes` took effect.

    known: what else there is to tell, as JSON.
    """
    kind = batches.items.kind
    return dict(
        known,
        settings=settings_of(options),
        paths=paths_of(options),
        device=device,
        kernels=kernels(device),
        changes=past_changes(config) + [dict(c, step=step) for c in changes],
        versions=versions(),
        **{kind: len(batches.items),
           'held_out_' + kind: len(held_out.items) if held_out else 0,
           'unreadable_' + kind: len(batches.items.unreadable)})


def note_other_kernels(config, device):
    """Say so if what computes now is not what computed before."""
    then, now = config.get('kernels'), kernels(device)
    if then not in (None, now):
        warn('the run was computed with %s and continues with %s: its numbers may differ in the '
             'last digits from those of an unbroken run' % (one_line(str(then)), now))


def past_changes(config):
    """What config.json, if there is one, says that was changed before."""
    changes = (config or {}).get('changes')
    return changes if isinstance(changes, list) else []


def data_since(config):
    """The iteration after which the data of a run are what they are now; 0: from its beginning."""
    return max([0] + [change['step'] for change in past_changes(config)
                      if isinstance(change, dict) and change.get('setting') == 'data'
                      and isinstance(change.get('step'), int)])
