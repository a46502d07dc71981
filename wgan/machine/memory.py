"""Lets CNTK take less memory. No number changes.

- CNTK keeps the value of a node for backpropagation if a node that uses it says that it needs it.
  Products say that they need both operands. But each is needed only for the gradient of the other:
  of x · c with a constant c, x is not. A function that looks at this is put into CNTK's products,
  by their tables of virtual functions.
- While a training begins, matrices are replaced by larger ones. glibc would keep the memory of the
  smaller ones, in pieces.
"""

import ctypes
import os
import re
import sys

from wgan.machine.slots import CORE, UNKNOWN, Unavailable, address_of, find_virtual

Size, Bool = ctypes.c_size_t, ctypes.c_bool

M_MMAP_THRESHOLD, THRESHOLD = -3, 4 * 2 ** 20   # mallopt: blocks that are given back at once; bytes

# The products, each with the class that its InputUsedInComputingInputNodesGradients(size_t) is of.
PRODUCTS = [(product % number, owner.replace('%s', number))
            for number in 'fd' for product, owner in (
                ('16ElementTimesNodeI%sE', '16ElementTimesNodeI%sE'),
                ('9TimesNodeI%sE', '19ComputationNodeBase'),
                ('18TransposeTimesNodeI%sE', '19ComputationNodeBase'),
                ('15ConvolutionNodeI%sE', '19ComputationNodeBase'))]
TABLE = '_ZTVN9Microsoft3MSR4CNTK%sE'
NEEDS_OPERAND = '_ZNK9Microsoft3MSR4CNTK%s39InputUsedInComputingInputNodesGradientsEm'

# Where a node has its operands (a std::vector of std::shared_ptr), and whether it needs a gradient:
# both are read from the code of ComputationNode<float>::AllocateGradientMatricesForInputs, which
# goes through the operands (mov rdx, [rdi + operands]; …) and asks each (cmp byte [rdi + …], 0).
READER = ('_ZN9Microsoft3MSR4CNTK15ComputationNodeIfE33AllocateGradientMatricesForInputs'
          'ERNS1_10MatrixPoolE')
READS = re.compile(b'\x48\x8b\x97(.{4})\x48\x89\xc8.*\x48\x8b\x3c\x02\x80\x7f(.)\x00', re.DOTALL)
LENGTH = 128                                    # of this code, in bytes
SHARED_POINTER = 16                             # the size of one, in bytes


def install(cntk_libraries):
    """Lets CNTK free what it does not need.

    cntk_libraries: the folder with CNTK's shared libraries, which must be loaded.
    Raises Unavailable, and changes nothing, on other systems than Linux and for another build.
    """
    if not sys.platform.startswith('linux'):
        raise Unavailable('it is used on Linux only')
    try:
        core = ctypes.CDLL(os.path.join(cntk_libraries, CORE))
        found = READS.search(ctypes.string_at(core[READER], LENGTH))
        slots = [find_virtual(core, TABLE % product, NEEDS_OPERAND % owner)
                 for product, owner in PRODUCTS]
        limit_blocks = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        raise Unavailable(UNKNOWN)
    if not found:
        raise Unavailable(UNKNOWN)
    operands, needs_gradient = (int.from_bytes(offset, 'little') for offset in found.groups())

    def is_needed(node, operand):
        """Whether a product needs the value of its operand 0 or 1: if the other has a gradient."""
        first = Size.from_address(node + operands).value
        other = Size.from_address(first + (1 - operand) * SHARED_POINTER).value
        return Bool.from_address(other + needs_gradient).value

    function = ctypes.CFUNCTYPE(Bool, Size, Size)(is_needed)
    KEPT.append((function, slots))              # CNTK calls it until the process ends
    for slot in slots:
        slot.value = address_of(function)
    limit_blocks(M_MMAP_THRESHOLD, THRESHOLD)


KEPT = []
