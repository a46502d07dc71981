"""The part of oneDNN's C interface that is needed here.

Source: https://oneapi-src.github.io/oneDNN/v3.2/ (dnnl.h, dnnl_types.h).
"""

import contextlib
import ctypes

Pointer, Int, Size = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t

AVX512 = 0x20                           # a bit of dnnl_cpu_isa_t
ALIGNMENT = 64                          # of what lies in the scratch memory, in bytes


class Refused(Exception):
    """oneDNN has no implementation of what was asked for."""


class OneDnn:
    """oneDNN's functions. Its objects are ctypes.c_void_p.

    A function that fails raises Refused. If `owner` is a contextlib.ExitStack, closing it destroys
    the objects created meanwhile.
    """

    FLOAT = 3                           # dnnl_f32

    def __init__(self, path):
        # PyDLL keeps Python's lock: CNTK is called with it, and no other thread may come between.
        self.library = ctypes.PyDLL(path)
        self.library.dnnl_primitive_desc_query_md.restype = Pointer
        self.library.dnnl_memory_desc_get_size.restype = Size
        self.library.dnnl_version.restype = ctypes.POINTER(Int * 3)
        self.library.dnnl_fmt_tag2str.restype = ctypes.c_char_p
        self.any, self.plain, self.blocked, self.vector = map(
            self.order, (b'any', b'abcd', b'aBcd16b', b'a'))
        self.owner = contextlib.ExitStack()
        self.engine = self.new('engine', Int(1), Size(0))                           # the CPU
        self.stream = self.new('stream', self.engine, Int(1))
        self.with_scratch = self.new('primitive_attr')
        self.call('primitive_attr_set_scratchpad_mode', self.with_scratch, Int(1))  # given by us
        self.adding = self.new('primitive_attr')
        sum_up = self.new('post_ops')
        self.call('post_ops_append_sum', sum_up, ctypes.c_float(1), ctypes.c_int32(0), Int(0))
        self.call('primitive_attr_set_post_ops', self.adding, sum_up)
        self.owner = None

    def call(self, name, *arguments):
        status = getattr(self.library, 'dnnl_' + name)(*arguments)
        if status:
            raise Refused('dnnl_%s: %d' % (name, status))

    def new(self, object_type, *arguments, function='create'):
        """Returns a new object of oneDNN, created by the function dnnl_TYPE_FUNCTION."""
        handle = Pointer()
        self.call('%s_%s' % (object_type, function), ctypes.byref(handle), *arguments)
        object_type = 'primitive_desc' if object_type.endswith('primitive_desc') else object_type
        self.owner.callback(getattr(self.library, 'dnnl_%s_destroy' % object_type), handle)
        return handle

    def version(self):
        return 'oneDNN %s with %s' % (
            '.'.join(map(str, self.library.dnnl_version().contents)),
            'AVX-512' if self.has_avx512() else 'at most AVX2')

    def has_avx512(self):
        return bool(self.library.dnnl_get_effective_cpu_isa() & AVX512)

    def order(self, name):
        """The number of a memory format (dnnl_format_tag_t), by its name."""
        for number in range(1000):
            if self.library.dnnl_fmt_tag2str(Int(number)) == name:
                return number
        raise Refused('no order of memory %s' % name)

    def layout(self, sizes, order):
        return self.new('memory_desc', Int(len(sizes)), int64s(sizes), Int(self.FLOAT),
                        Int(order), function='create_with_tag')

    def is_reference(self, description):
        """Whether oneDNN would use its reference code, which is very slow."""
        name = ctypes.c_char_p()
        self.call('primitive_desc_query', description, Int(8), Int(0), ctypes.byref(name))
        return b'ref' in name.value

    def layout_in(self, description, query):
        return Pointer(self.library.dnnl_primitive_desc_query_md(description, Int(query), Int(0)))

    def size(self, layout):
        """The size of a layout in bytes, rounded up to ALIGNMENT."""
        return -(-self.library.dnnl_memory_desc_get_size(layout) // ALIGNMENT) * ALIGNMENT

    def equal(self, layout, other):
        return bool(self.library.dnnl_memory_desc_equal(layout, other))

    def memory(self, layout):
        return self.new('memory', layout, self.engine, Pointer(0))

    def place(self, memory, address):
        self.library.dnnl_memory_set_data_handle(memory, Pointer(address))

    def reorder(self, source, target, attributes=None):
        return self.new('primitive', self.new('reorder_primitive_desc', source, self.engine, target,
                                              self.engine, attributes or Pointer(0)))

    def step(self, primitive, arguments):
        """Returns a step for `execute`: the arguments of dnnl_primitive_execute."""
        return primitive, self.stream, Int(len(arguments)), arguments

    def execute(self, steps):
        """Executes all steps in order. Returns 0, or the status of an error."""
        status, execute = 0, self.library.dnnl_primitive_execute
        for step in steps:
            status = execute(*step) or status
        return status


def int64s(numbers):
    return (ctypes.c_int64 * 12)(*numbers)          # dnnl_dims_t


class Argument(ctypes.Structure):
    """dnnl_exec_arg_t"""

    _fields_ = [('number', Int), ('memory', Pointer)]


def arguments(*pairs):
    return (Argument * len(pairs))(*pairs)
