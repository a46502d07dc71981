"""Run programs with --help, one after another, and print how each ends: help_of_each.py PATH …"""

import os
import runpy
import sys

for path in sys.argv[1:]:
    sys.path.insert(0, os.path.dirname(path))
    sys.argv = [path, '--help']
    try:
        runpy.run_path(path, run_name='__main__')
    except SystemExit as end:
        print('=== %s' % end.code)
