"""Install cuDNN 9, and print where CNTK's calls lead: cudnn_functions.py walk|version

walk: a line for each function that CNTK calls: its name, the library that has what is called now,
or 'function' if it is one of Python's, and what the table says.
version: of cuDNN, as CNTK itself asks for it.
"""

import ctypes
import os
import sys

from wgan.machine import cudnn, slots
from wgan.machine.cntk import libraries


def library_of(address):
    with open('/proc/self/maps') as lines:
        for fields in (line.split() for line in lines):
            first, end = (int(number, 16) for number in fields[0].split('-'))
            if first <= address < end:
                return os.path.basename(fields[5]) if len(fields) > 5 else 'function'


cudnn.install(libraries())
path = os.path.join(libraries(), cudnn.MATH)
if sys.argv[1] == 'version':
    asked = ctypes.PyDLL(path)['_ZN9Microsoft3MSR4CNTK15GetCUDNNVersionEv']
    asked.restype = ctypes.c_size_t
    print(asked())
else:
    names = [name for name in slots.called_functions(path) if name.startswith(('cudnn', 'cublas'))]
    for name, slot in sorted(slots.find_slots(path, names).items()):
        print(name, library_of(slot.value), cudnn.FUNCTIONS.get(name))
