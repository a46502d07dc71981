"""Finds where a loaded shared library stores the addresses of the functions that it calls.

CNTK calls MKL, cuDNN and cuBLAS through tables of addresses (the procedure linkage table of an ELF
library), and virtual functions through the table of their class. Other functions can be written
there at run time, without changing CNTK's files.
"""

import ctypes
import mmap
import os
from collections import namedtuple

import numpy as np

Pointer = ctypes.c_void_p

MATH, CORE = 'libCntk.Math-2.7.so', 'libCntk.Core-2.7.so'           # CNTK's libraries on Linux


class Unavailable(Exception):
    """CNTK's functions can't be replaced; the text says why."""


def address_of(function):
    """Of a C function or C memory."""
    return ctypes.cast(function, Pointer).value


def find_slots(path, symbols):
    """{symbol: where a loaded ELF library looks up the address of the function of that name}.

    Raises Unavailable if the library is not loaded, is none of CNTK's for Linux, or lacks one.
    """
    offsets = called_functions(path)
    try:
        with open('/proc/self/maps') as lines:
            spans = _spans(lines, os.path.realpath(path))
        addresses = {symbol: spans[0].start + offsets[symbol] for symbol in symbols}
    except (OSError, ValueError, LookupError):
        raise Unavailable(UNKNOWN)
    if not all(any(span.start <= at < span.end and span.is_writable for span in spans)
               for at in addresses.values()):
        raise Unavailable(UNKNOWN)
    return {symbol: Pointer.from_address(at) for symbol, at in addresses.items()}


def called_functions(path):
    """{symbol: offset of its slot} of all functions that an ELF library calls in others.

    Raises Unavailable if it is none of CNTK's for Linux.
    """
    try:
        with open(path, 'rb') as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        relocations, entries, strings = _tables(data)
        offsets = {}
        for offset, info in zip(relocations['offset'].tolist(), relocations['info'].tolist()):
            start = strings + int(entries['name'][info >> 32])
            offsets[data[start:data.find(b'\0', start)].decode()] = offset
        return offsets
    except (OSError, ValueError, LookupError):
        raise Unavailable(UNKNOWN)


def find_virtual(library, table, function):
    """Returns where a loaded library's table of virtual functions has the address of a function.

    table, function: their symbols. Raises Unavailable if it can't be found or written to.
    """
    try:
        start = ctypes.addressof(ctypes.c_char.in_dll(library, table))
        entries = (Pointer * LONGEST_TABLE).from_address(start)
        slot = start + list(entries).index(address_of(library[function])) * ctypes.sizeof(Pointer)
    except (ValueError, AttributeError):
        raise Unavailable(UNKNOWN)
    page = slot - slot % mmap.PAGESIZE                  # the dynamic linker made it read-only
    if ctypes.CDLL(None).mprotect(Pointer(page), ctypes.c_size_t(mmap.PAGESIZE),
                                  mmap.PROT_READ | mmap.PROT_WRITE):
        raise Unavailable('the system does not let a table of functions be changed')
    return Pointer.from_address(slot)


LONGEST_TABLE = 64                  # entries that are looked through; the first that fits counts
UNKNOWN = 'this CNTK is not one that it is known to work with'
Span = namedtuple('Span', 'start end is_writable')


def _spans(lines, path):
    """Returns the memory Spans of a loaded library, from the lines of /proc/self/maps."""
    spans = []
    for fields in (line.rstrip('\n').split(None, 5) for line in lines):
        if len(fields) == 6 and fields[5] == path and fields[1].endswith('p'):
            start, end = (int(address, 16) for address in fields[0].split('-'))
            spans.append(Span(start, end, 'w' in fields[1]))
    return spans


def _tables(data):
    """The relocations of functions, the symbols, and where their names begin, of a 64-bit ELF."""
    def number(at, size):
        return int.from_bytes(data[at:at + size], 'little')

    table_start, size, count, names = number(40, 8), number(58, 2), number(60, 2), number(62, 2)
    sections = [np.frombuffer(data, '<u8', 3, table_start + i * size + 16) for i in range(count)]
    texts = int(sections[names][1])
    by_name = {}
    for i, (_, offset, length) in enumerate(sections):
        start = texts + number(table_start + i * size, 4)
        by_name[data[start:data.find(b'\0', start)]] = int(offset), int(length)

    def table(name, fields):
        offset, length = by_name[name]
        fields = np.dtype(fields)
        return np.frombuffer(data, fields, length // fields.itemsize, offset)

    return (table(b'.rela.plt', [('offset', '<u8'), ('info', '<u8'), ('addend', '<i8')]),
            table(b'.dynsym', [('name', '<u4'), ('rest', 'V4'), ('value', '<u8'), ('size', '<u8')]),
            by_name[b'.dynstr'][0])
