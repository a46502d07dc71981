"""Import a module, and print environment variables: environment_after.py MODULE VARIABLE …"""

import importlib
import os
import sys

importlib.import_module(sys.argv[1])
print(*[os.environ.get(name) for name in sys.argv[2:]])
