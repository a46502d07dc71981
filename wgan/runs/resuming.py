"""What a resumed run continues with: its settings, which of them may change, and what changed."""

import os
import platform

import wgan
from wgan.machine import processes
from wgan.machine.cntk import C
from wgan.machine.command_line import UserError, one_line, warn
from wgan.machine.device import cntk_cards, kernels
from wgan.machine.disk import as_path, as_text
from wgan.training.options import (
    CHANGEABLE, FREE, NOT_STORED, OPTIONS, PATHS, UNTIL_SCORED, is_valid, names_that,
    with_defaults)

import cv2
import numpy as np


def settings_of(options):
    """The settings that config.json keeps, and how many processes there are."""
    return dict({name: as_text(value) for name, value in vars(options).items()
                 if name not in names_that(NOT_STORED)}, processes=processes.COUNT)


def resumed_options(out, arguments):
    """(options, config, changes) of a run that is resumed.

    out: its RunFolder. given: what the command line has, a dict by name. config: what config.json
    says. changes: [{'setting', 'from', 'to'}, …] that --allow-change allowed.
    Raises UserError for settings that can't be used, and for differences that are not allowed.
    """
    config = out.read_config()
    saved = _saved_settings(config, one_line(out.path('config.json')))
    processes_then = config['settings'].get('processes', 1)
    if processes_then != processes.COUNT:
        raise UserError('--resume: the run in %s was trained by %s processes, and now there are %d'
                        % (out.name, processes_then, processes.COUNT))
    now = dict(saved, **arguments)
    _find_moved(now, config, arguments)
    free = names_that(FREE) + ['data'] + ([] if saved['score_every'] else names_that(UNTIL_SCORED))
    changed = [name for name in sorted(saved) if name not in free and saved[name] != now[name]
               and not (name in PATHS and _same_file(saved[name], now[name],
                                                     _kept_path(config, name)))]
    refused = [name for name in changed if name not in now.get('allow_change', ())]
    if refused:
        allowed = [name for name in refused if OPTIONS[name].resume == CHANGEABLE]
        raise UserError('--resume: the run in %s has other settings: %s%s' % (
            out.name, '; '.join('%s was %s and is now %s' % (n, saved[n], now[n])
                                for n in refused),
            '; --allow-change %s continues with the new ones' % ','.join(
                n.replace('_', '-') for n in allowed) if allowed == refused else ''))
    now.setdefault('device', _device(config))
    return with_defaults(now), config, [
        {'setting': name, 'from': saved[name], 'to': now[name]} for name in changed]


def _saved_settings(config, where):
    """The settings in a config.json, a dict by name, checked against the table of options."""
    saved = {name: value for name, value in config['settings'].items()
             if name != 'processes' and name not in names_that(NOT_STORED)}
    stored = [name for name in OPTIONS if name not in names_that(NOT_STORED)]
    unknown, missing = sorted(set(saved) - set(stored)), sorted(set(stored) - set(saved))
    if unknown or missing:
        raise UserError('%s %s %s: it is damaged, or of another version of this project, which can '
                        'continue with the run' % (where, 'has the setting' if unknown else 'lacks',
                                                   one_line(', '.join(unknown or missing))))
    for name, value in sorted(saved.items()):
        try:
            if isinstance(value, str):
                saved[name] = as_path(value)
            if value is None or is_valid(name, saved[name]):
                continue
        except UnicodeError:
            pass
        raise UserError('%s is damaged: %s is %s' % (where, name, one_line(repr(value))[:80]))
    try:
        full = vars(with_defaults(saved))
    except UserError as error:
        raise UserError('%s is damaged: %s' % (where, error))
    lost = [name for name in sorted(saved) if saved[name] is None and full[name] is not None]
    if lost:
        raise UserError('%s is damaged: %s has no value' % (where, ', '.join(lost)))
    return saved


def _device(config):
    """The run continues where it began, if it can: a GPU rounds in another way."""
    began_on = config.get('device')
    return ('cpu' if began_on == 'cpu' else
            'gpu' if began_on == 'gpu' and cntk_cards() else 'auto')


def _find_moved(settings, config, arguments):
    """Let paths that are not given lead to what they did when the run was last resumed.

    A relative path is kept with the place where it led to; where nothing is there, it counts from
    the working directory.
    """
    for name in PATHS:
        path = _kept_path(config, name)
        if path and name not in arguments and (
                os.path.exists(path) or not os.path.exists(settings[name] or '')):
            settings[name] = path


def _kept_path(config, name):
    """The absolute path in a config.json; None if there is none that can be one."""
    try:
        path = as_path(config['paths'][name])
    except (KeyError, TypeError, AttributeError, UnicodeError):
        return None
    return None if '\0' in path else path


def _same_file(before, now, stored):
    return None not in (before, now) and os.path.realpath(now) in map(
        os.path.realpath, (before, stored or before))


def check_data(config, manifest, data, held_out, options, digest):
    """The change of the data that --allow-change allowed, as a list of one or none.

    config: what config.json says. manifest: the checkpoint's. data: the items there are now.
    digest: theirs. Raises UserError if it is other data than before, and may not be.
    """
    # Other than the checkpoint's, if they were changed after it.
    if config.get('data_sha256', manifest.get('data_sha256')) == digest:
        return []
    source, then = one_line(data.source), manifest.get(data.item_name)
    if held_out or 'data' not in options.allow_change:
        raise UserError('--resume: %s; %s' % (
            '%s had %d readable %s and now has %d' % (source, then, data.noun, len(data))
            if then not in (None, len(data)) else
            'the %s in %s are not those that the run was trained on' % (data.item_name, source),
            'a run with --hold-out can not continue with others, some of which it would hold out '
            'after it was trained on them' if held_out else
            '--allow-change data continues with them'))
    return [{'setting': 'data', 'from': config['settings']['data'], 'to': as_text(options.data),
             data.item_name: len(data)}]


def about_run(options, device, data, held_out, config=None, changes=(), step=0, **facts):
    """What config.json and the checkpoints tell of a run, as JSON.

    data, held_out: the items to train on, and those held out. config: what config.json has said.
    changes: those that take effect at `step`. facts: what else there is to tell.
    """
    item_name = data.item_name
    return dict(
        facts, settings=settings_of(options), device=device, kernels=kernels(device),
        versions=_versions(), changes=past_changes(config) + [dict(c, step=step) for c in changes],
        paths={name: as_text(os.path.abspath(getattr(options, name))) for name in PATHS
               if getattr(options, name)},
        **{item_name: len(data), 'held_out_' + item_name: len(held_out),
           'unreadable_' + item_name: len(data.unreadable)})


def _versions():
    return {'wgan': wgan.__version__, 'python': platform.python_version(), 'cntk': C.__version__,
            'numpy': np.__version__, 'opencv': cv2.__version__}


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
