"""Have cuDNN 9 refused, print why, and whether all is as it was: cudnn_refused.py WHY FOLDER"""

import ctypes
import os
import shutil
import sys

from wgan.machine import cudnn, slots
from wgan.machine.cntk import libraries as cntk_libraries

why, folder = sys.argv[1:]
libraries = cntk_libraries()
path = os.path.join(libraries, cudnn.MATH)


def values():
    return [slot.value for _, slot in sorted(slots.find_slots(path, list(cudnn.FUNCTIONS)).items())]


def copied(name):
    """The folder of NVIDIA's libraries, copied; the path of one in it."""
    found = next(p for p in sys.path if os.path.isdir(os.path.join(p, 'nvidia')))
    sys.path[:] = [p for p in sys.path if p != found] + [folder]
    shutil.copytree(os.path.join(found, 'nvidia'), os.path.join(folder, 'nvidia'))
    return os.path.join(folder, 'nvidia', 'cudnn' if 'cudnn' in name else 'cublas', 'lib', name)


before = values()
if why == 'another function':
    cudnn.FUNCTIONS.pop('cudnnCreate')
elif why == 'one less':
    called_functions = cudnn.called_functions
    cudnn.called_functions = lambda path: dict(called_functions(path), cudnnOther=0)
elif why == 'used':
    handles = '_ZN9Microsoft3MSR4CNTK9GPUMatrixIdE10s_cuHandleE'
    (ctypes.c_void_p * 16).in_dll(ctypes.PyDLL(path), handles)[3] = 1
elif why == 'not loaded':
    libraries = os.path.join(folder, 'libs')
    os.mkdir(libraries)
    os.symlink(os.path.join(cntk_libraries(), 'libcudnn.so.7'),
               os.path.join(libraries, 'libcudnn.so.7'))
    shutil.copy(path, libraries)
elif why == 'no cuDNN 9':
    os.unlink(copied('libcudnn.so.9'))
elif why == 'no cuBLAS':
    os.unlink(copied('libcublas.so.12'))
elif why == 'damaged':
    with open(copied('libcudnn.so.9'), 'wb') as file:
        file.write(b'\x7fELF nothing')
elif why == 'older':
    library = copied('libcublas.so.12')
    os.unlink(library)
    shutil.copy(library.replace('libcublas', 'libcublasLt'), library)       # which has no function
elif why == 'Windows':
    sys.platform = 'win32'
try:
    print('installed', cudnn.install(libraries))
except slots.Unavailable as error:
    print(error)
sys.platform = 'linux'
cudnn.FUNCTIONS.setdefault('cudnnCreate', cudnn.UNCHANGED)
print('all as it was' if sorted(values()) == sorted(before) and not cudnn.KEPT else 'changed')
