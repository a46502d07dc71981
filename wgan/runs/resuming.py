"""The settings and data of a resumed run: checks that they did not change, or were allowed to."""

import os
import platform

import wgan
from wgan.machine import processes
from wgan.machine.cntk import C
from wgan.machine.command_line import UserError, one_line, warn
from wgan.machine.device import cntk_cards, kernels
from wgan.machine.disk import as_path, as_text
from wgan.training.options import (
    ABSENT, CHANGEABLE, FREE, NOT_STORED, OPTIONS, PATHS, UNTIL_SCORED, is_valid, names_that,
    with_defaults)

import cv2
import numpy as np

# Settings that runs of version 1.0.0 lack. They take the default.
SINCE_1_0 = ('network', 'page', 'augment_target', 'augment_probability')


def settings_of(options):
    """Returns the settings for config.json, with the number of processes."""
    return dict({name: as_text(value) for name, value in vars(options).items()
                 if name not in names_that(NOT_STORED)}, processes=processes.COUNT)


def resumed_options(out, arguments):
    """Returns (options, config, changes) of a resumed run.

    out: its RunFolder. arguments: the options of the command line, a dict by name. config: the dict
    in config.json. changes: [{'setting', 'from', 'to'}, …] that --allow-change allowed.
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
    """Returns the settings in a config.json, a dict by name, checked against OPTIONS."""
    saved = {name: value for name, value in config['settings'].items()
             if name != 'processes' and name not in names_that(NOT_STORED)}
    for name in SINCE_1_0:
        default = OPTIONS[name].text if saved.get('text') else OPTIONS[name].images
        saved.setdefault(name, None if default is ABSENT else default)
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
    """Returns the device that the run began on, if available: a GPU rounds differently."""
    began_on = config.get('device')
    return ('cpu' if began_on == 'cpu' else
            'gpu' if began_on == 'gpu' and cntk_cards() else 'auto')


def _find_moved(settings, config, arguments):
    """Sets paths that are not on the command line to the absolute paths in config.json.

    If nothing is there, the relative path counts from the working directory.
    """
    for name in PATHS:
        path = _kept_path(config, name)
        if path and name not in arguments and (
                os.path.exists(path) or not os.path.exists(settings[name] or '')):
            settings[name] = path


def _kept_path(config, name):
    """Returns the absolute path in a config.json, or None if there is no valid one."""
    try:
        path = as_path(config['paths'][name])
    except (KeyError, TypeError, AttributeError, UnicodeError):
        return None
    return None if '\0' in path else path


def _same_file(before, now, stored):
    return None not in (before, now) and os.path.realpath(now) in map(
        os.path.realpath, (before, stored or before))


def check_data(config, manifest, data, held_out, options, digest):
    """Returns the change of the data, as a list of one or none.

    config: the dict in config.json. manifest: the checkpoint's. data: the current items, with the
    digest `digest`. Raises UserError if the data changed and --allow-change does not name them.
    """
    # config.json differs from the manifest if the data were changed after the checkpoint.
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


def about_run(options, device, training, config=None, changes=(), step=0, **facts):
    """Returns the content of config.json and of the checkpoints' manifests, a dict.

    training: the Training. config: the dict in config.json of a resumed run. changes: changes that
    take effect at `step`. facts: further items of the dict.
    """
    data, held_out, scores = training.batches.items, training.held_out, training.scores
    item_name = data.item_name
    return dict(
        facts, settings=settings_of(options), device=device, kernels=kernels(device),
        versions=versions(), changes=past_changes(config) + [dict(c, step=step) for c in changes],
        paths={name: as_text(os.path.abspath(getattr(options, name))) for name in PATHS
               if getattr(options, name)},
        scores=scores.described() if scores else None,
        **{item_name: len(data), 'held_out_' + item_name: len(held_out.items) if held_out else 0,
           'unreadable_' + item_name: len(data.unreadable)})


def versions():
    """Of this project, and of what computes a run."""
    return {'wgan': wgan.__version__, 'python': platform.python_version(), 'cntk': C.__version__,
            'numpy': np.__version__, 'opencv': cv2.__version__}


def note_other_kernels(config, device):
    """Warns if other kernels computed the run before."""
    then, now = config.get('kernels'), kernels(device)
    if then not in (None, now):
        warn('the run was computed with %s and continues with %s: its numbers may differ in the '
             'last digits from those of an unbroken run' % (one_line(str(then)), now))


def past_changes(config):
    """Returns the list of changes in config.json, which may be None."""
    changes = (config or {}).get('changes')
    return changes if isinstance(changes, list) else []


def data_since(config):
    """Returns the iteration of the last change of the data; 0 if there was none."""
    return max([0] + [change['step'] for change in past_changes(config)
                      if isinstance(change, dict) and change.get('setting') == 'data'
                      and isinstance(change.get('step'), int)])
