"""The table of wrong arguments and wrong arrays, which bad_input.py runs.

A row is a call with a gap, the argument that is wrong in it, and its wrong values; calls and values
are Python. The functions at the end are what they call.
"""

import json
import os
import tempfile
from collections import namedtuple
from importlib.util import find_spec

import mxconv
from mxconv.dtypes import BFLOAT16  # noqa: F401

import mxnet as mx
import numpy as np  # noqa: F401  (for the values, as what else seems unused)
from mxnet import nd, sym  # noqa: F401
from mxnet.gluon import HybridBlock, nn

LAYERS = {"nn.Conv2D": nn.Conv2D, "MultiChannelConv2D": mxconv.MultiChannelConv2D}

Case = namedtuple("Case", "id template argument value")

nan, inf = float("nan"), float("inf")

# Values of one kind.
COUNTS = """None b'4' 4.5 nan inf -1 -2**63 2**31 2**63 [] [4] (4,4) {} 1j int object()
    nd.ones(1) nd.ones((2,2)) np.ones(2) sym.var('c')""".split()
PAIRS = """None '3' b'33' 1.5 nan -inf -1 -2**63 2**63 (3,) [3] (3,3,3) (3,-1) (3,None) (3,'3')
    (3,nan) (3,2.5) ([3],3) {3:3} {1,2} 1j object() nd.ones(2) np.ones(2) sym.var('k')""".split()
NESTED = ["((3,3),(3,3))", "'same'"]  # which our padding can be
CHOICES = """'' 'none' 0 3 nan -1 () [] {} object() b'NCHW' nd.ones(2) np.ones(2)
    sym.var('c')""".split()
INITIALIZERS = """'glorot' 1.5 nan b'ones' mx.init.Normal nd.ones(2)""".split()
NOT_ARRAYS = """None 4 1.5 nan True 'x' b'x' [] [[1]] (1,2) {} int object() np.ones((1,4,9,9))
    np.float32(1) range(3) nn.Dense(2) ones csr(4,9)""".split()
ARRAYS = """np_ones() ones(1) ones(9) ones(4,9) ones(4,9,9) ones(1,4,9,9,1) ones(1,4,2,9)
    ones(1,4,9,2) ones(1,4,1,1) np_ones(0,4,9,9) np_ones(1,0,9,9) np_ones(1,4,0,9) np_ones(1,4,9,0)
    ones(1,4,9,9,dtype='int8') ones(1,4,9,9,dtype='uint8') ones(1,4,9,9,dtype='int32')
    ones(1,4,9,9,dtype='int64') ones(1,4,9,9,dtype='bool') ones(1,4,9,9,dtype='float16')
    ones(1,4,9,9,dtype='float64') ones(1,4,9,9,dtype=BFLOAT16) ones(1,4,9,9,ctx=mx.cpu(1))
    np_ones(1,4,9,9,dtype='float64') np_ones(1,4,9,9,ctx=mx.cpu(1))""".split()
CHANNELS = ["ones(1,3,9,9)", "ones(1,5,9,9)", "ones(1,1,9,9)", "ones(1,9,9,4)"]
INPUTS = NOT_ARRAYS + ARRAYS + CHANNELS
DTYPES = "None 'int8' 'int32' 'bool' 'fp32' '' 3 nan int object [] {} complex sym.var('t')".split()
HAVE_DTYPES = ["nd.ones(2)", "np.ones(2)", "np.float32(1)"]  # and NumPy takes that of each
ALGORITHMS = """None '' 'fast' 'Direct' 0 nan ['direct'] object() np.ones(2) nd.ones(2)""".split()
NETS = """None 4 'net' [] nn.Conv2D ones(1,4,9,9) sym.var('net') np.ones(2)""".split()
SHAPES = """None 4 1.5 'nchw' () (9,) (4,9,9) (1,4,9,9,1) (1,3,9,9) (1,4,2,9) (0,4,9,9) (1,4,9,0)
    (1,4,-9,9) (1,4,9,9.5) (1,4,9,nan) (1,4,None,9) (1,4,'9',9) {} object() ones(1,4,9,9)
    np.ones((1,4,9,9)) (2**20,4,2**10,2**10) (1,4,2**63,9)""".split()
# Of networks of several inputs; this one has one.
SEVERAL = """((1,4,9,9),(1,4,9,9)) ((1,4,9,9),3) ((1,4,9,9),'x') ([(1,4,9,9),()],) (((1,4,9,9),),)
    ((1,4,9,9),None)""".split()

# Rows of the table: a template, the argument that is wrong in it, its wrong values.
# For both layers; what nn.Conv2D takes for a default or converts, as '4' to 4, isn't among it.
EITHER = [
    ("Layer({}, 3, in_channels=4)", "channels", ["0", *COUNTS]),
    (
        "Layer(4, {}, in_channels=4)",
        "kernel_size",
        ["0", "(0,3)", "2**31", "(2**16,2**16)", *PAIRS, *NESTED],
    ),
    ("Layer(4, 3, in_channels=4, strides={})", "strides", ["0", "(1,0)", *PAIRS, *NESTED]),
    ("Layer(4, 3, in_channels=4, padding={})", "padding", PAIRS),
    ("Layer(4, 3, in_channels=4, dilation={})", "dilation", ["0", "(0,1)", *PAIRS, *NESTED]),
    ("Layer(4, 3, in_channels=4, groups={})", "groups", ["0", "3", "8", *COUNTS]),
    ("Layer(4, 3, groups={})", "groups", ["0", "3"]),
    ("Layer(6, 3, in_channels=4, groups={})", "groups", ["3", "6"]),
    ("Layer(4, 3, in_channels={})", "in_channels", [c for c in COUNTS if c != "-1"]),
    ("Layer(4, 3, in_channels=4, layout={})", "layout", ["None", "'NCW'", "'nchw'", *CHOICES]),
    ("Layer(4, 3, in_channels=4, activation={})", "activation", ["'swish'", "nn.Dense", *CHOICES]),
    ("Layer(4, 3, in_channels=4, use_bias={})", "use_bias", ["'no'", "nd.ones(2)", "np.ones(2)"]),
    ("Layer(4, 3, in_channels=4, weight_initializer={})", "weight_initializer", INITIALIZERS),
    ("Layer(4, 3, in_channels=4, bias_initializer={})", "bias_initializer", INITIALIZERS),
    ("Layer(4, 3, in_channels=4, prefix={})", "prefix", ["3", "1.5", "['c_']", "object()"]),
    ("Layer(4, 3, in_channels=4, params={})", "params", ["3", "'c_'", "[1]", "{}", "ones(2)"]),
    ("Layer(4, 3, **{})", "argument", ["{'stride':2}", "{'kernel':3}", "{'channels':3}"]),
    ("Layer(*{})", "argument", ["()", "(4,)", "(4,3,*[1]*20)"]),
    ("ready(Layer(4, 3, in_channels=4))({})", "input", INPUTS),
    ("ready(Layer(4, 3, in_channels=4), hybridize=True)({})", "input", INPUTS),
    ("start(Layer(4, 3))({})", "input", ARRAYS),
    ("start(Layer(4, 3), hybridize=True)({})", "input", ARRAYS),
    ("start(Layer(4, 3, groups=2))({})", "input", ["ones(1,3,9,9)", "ones(1,5,9,9)"]),
    ("start(Layer(4, 3, dilation=5))({})", "input", ["ones(1,4,9,9)", "ones(1,4,11,10)"]),
    ("start(Layer(2**20, 1))({})", "input", ["ones(1,1,64,64)", "ones(64,1,32,32)"]),
    ("start(Layer(4, 3, padding=2**15))({})", "input", ["ones(1,4,9,9)"]),
    ("start(Layer(2**16, 3))({})", "input", ["ones(1,2**14,3,3)"]),  # too large a weight
    ("start(Layer(4, 3), dtype='float64')({})", "input", ["ones(1,4,9,9)"]),
    ("start(Layer(4, 3), dtype='float16')({})", "input", ["ones(1,4,9,9,dtype='float16')"]),
    ("start(Layer(4, 3), ctx=mx.cpu(1))({})", "input", ["ones(1,4,9,9)"]),
    ("ready(Layer(4, 3, in_channels=4))(*{})", "argument", ["()", "(X,X)", "(X,None)"]),
    ("cast(ready(Layer(4, 3, in_channels=4)), {})", "dtype", DTYPES),
]

# For what only MultiChannelConv2D has, or refuses.
OURS = [
    ("Layer(4, 3, in_channels=4, strides={})", "strides", ["True", "()"]),
    ("Layer(4, {}, in_channels=4)", "kernel_size", ["True", "()"]),
    ("Layer(4, 3, in_channels=4, padding={})", "padding", ["True", "()"]),
    ("Layer(4, 3, in_channels=4, dilation={})", "dilation", ["True", "()"]),
    ("Layer(4, 3, in_channels=4, groups={})", "groups", ["True", "'4'", "4.0"]),
    ("Layer(4, 3, in_channels={})", "in_channels", ["True", "'4'", "-1"]),
    ("ready(Layer(4, 3, in_channels=4))({})", "input", ["sparse(1,4,9,9)"]),
    (
        "Layer(4, 3, in_channels=4, weight_initializer={})",
        "weight_initializer",
        ["''", "0", "[]", "{}"],
    ),
    ("Layer(4, 3, in_channels=4, bias_initializer={})", "bias_initializer", ["''", "0", "[]"]),
    ("Layer({}, 3, in_channels=4)", "channels", ["True", "'4'", "4.0", "np.float32(4)"]),
    ("Layer(4, 3, in_channels=4, use_bias={})", "use_bias", ["nan", "2", "[]"]),
    (
        "Layer(4, 3, in_channels=4, padding={})",
        "padding",
        "'' 'full' 'SAME' b'same' ('same','same') ((1,1),) ((1,1),(1,)) ((1,1),(1,-1)) "
        "((1,1),(1,1.5)) ((1,(1,1)),(1,1)) (((1,1),1),1) np.ones((2,2)) [[1,None],[1,1]]".split(),
    ),
    ("Layer(4, 3, padding='same', strides={})", "strides", ["2", "(1,2)"]),
    (
        "Layer(4, 3, in_channels=4, padding=1, padding_mode={})",
        "padding_mode",
        ["None", "'wrap'", "'Reflect'", *CHOICES],
    ),
    ("Layer(4, 3, in_channels=4, dtype={})", "dtype", [*DTYPES, *HAVE_DTYPES]),
    ("cast(ready(Layer(4, 3, in_channels=4)), {})", "dtype", HAVE_DTYPES),
    ("Layer(4, 3, **{})", "argument", ["{'op_name':'Deconvolution'}"]),
    (
        "start(Layer(4, 3, padding={}, strides=2**30))(X)",
        "padded input",
        ["2**30", "(2**31-1,0)", "((0,2**30),(0,2**30))"],
    ),
    ("Layer(4, 3, in_channels=4, algorithm={})", "algorithm", ALGORITHMS),
    ("Layer(16, 3, in_channels=4, algorithm={})", "algorithm", ["'align'", "'pixels'"]),
    ("Layer(4, 1, in_channels=4, groups=2, algorithm={})", "algorithm", ["'tile'", "'pixels'"]),
    (
        "setattr(Layer(4, 3, in_channels=4), 'algorithm', {})",
        "algorithm",
        [*ALGORITHMS, "'pixels'"],
    ),
    ("start(Layer(16, 3, algorithm={}))(X)", "algorithm", ["'align'", "'pixels'"]),
    ("start(Layer(4, 3, groups=2, algorithm={}))(X)", "algorithm", ["'tile'", "'align'"]),
    ("start(Layer(4, 3, layout='NHWC'))({})", "input", ["ones(9,9,4)", "ones(1,2,9,4)"]),
    ("ready(Layer(4, 3, in_channels=4, layout='NHWC'), Y)({})", "input", ["ones(1,4,9,9)"]),
    (
        "start(Layer(4, 3, padding=5, padding_mode='reflect'))({})",
        "input",
        ["ones(1,4,5,9)", "ones(1,4,9,5)", "ones(1,4,1,1)"],
    ),
    (
        "start(Layer(4, 3, padding=5, padding_mode='circular'))({})",
        "input",
        ["ones(1,4,4,9)", "ones(1,4,9,4)"],
    ),
    *(
        (
            f"ready(Layer(4, 3, in_channels=4, algorithm={name!r}), hybridize=True)({{}})",
            "input",
            ARRAYS + CHANNELS,
        )
        for name in ("definition", "tile")
    ),
    (
        "start(Layer(4, 3, dtype='bfloat16', padding='same', layout='NHWC'))({})",
        "input",
        ["ones(1,4,9,9,dtype=BFLOAT16)"],
    ),
    (
        "start(Layer(4, 3, dtype='bfloat16', algorithm='matmul'))({})",
        "input",
        ["ones(1,4,9,9,dtype=BFLOAT16)"],
    ),
]

MATRICES = """None 4 'x' [[1]] np.ones((3,3)) sym.var('x') sparse(3,3) csr(3,3) np_ones()
    np_ones(3,3) ones(3) ones(1,1,1,3,3)""".split()
WRONG_3_3 = [*MATRICES, "np_ones(0,3).as_nd_ndarray()", "ones(2,3,3)", "ones(3,3,dtype='float64')"]
WRONG_3_3 += ["ones(3,3,ctx=mx.cpu(1))"]
WRONG_X = [*MATRICES, "ones(3,3)", "ones(3,3,3)", "ones(2,1,3)", "ones(1,2,3,3)"]
WRONG_X += ["ones(2,3,3,dtype='float64')", "ones(2,3,3,dtype='int32')", "ones(2,3,3,ctx=mx.cpu(1))"]
WRONG_X += [f"np_ones{shape}.as_nd_ndarray()" for shape in ("(0,3,3)", "(2,0,3)", "(2,3,0)")]
WRONG_K = [*MATRICES, "ones(2,2)", "ones(2,3,2,2)", "ones(3,2,4,2)", "ones(3,2,2,4)"]
WRONG_K += ["ones(3,2,2,2,dtype='float64')", "ones(3,2,2,2,ctx=mx.cpu(1))"]
EMPTY_K = [
    f"np_ones{shape}.as_nd_ndarray()"
    for shape in ("(0,2,2,2)", "(3,0,2,2)", "(3,2,0,2)", "(3,2,2,0)")
]
KERNELS = [*MATRICES, *EMPTY_K, "ones(3,2,2,2,dtype='int32')", "ones(3,2,2,2,dtype='float16')"]
PATHS = ["3", "1.5", "[]", "''", "'tuning.txt'", "'/no/such/place/tuning.json'", "'.'", "object()"]

FUNCTIONS = [
    ("mxconv.corr2d({}, ones(2, 2))", "X", [*WRONG_3_3, "ones(1,3)"]),
    ("mxconv.corr2d(ones(3, 3), {})", "K", [*MATRICES, "np_ones(0,2).as_nd_ndarray()"]),
    ("mxconv.corr2d(ones(3, 3), {})", "K", ["np_ones(2,0).as_nd_ndarray()", "ones(4,1)"]),
    ("mxconv.corr2d_multi_in({}, ones(2, 2, 2))", "X", WRONG_X),
    ("mxconv.corr2d_multi_in(ones(2, 3, 3), {})", "K", [*MATRICES, "ones(2,2)", "ones(3,2,2)"]),
    (
        "mxconv.corr2d_multi_in(np_ones(0, 3, 3).as_nd_ndarray(), {})",
        "K",
        ["np_ones(0,2,2).as_nd_ndarray()"],
    ),
    ("mxconv.corr2d_multi_in_out({}, ones(3, 2, 2, 2))", "X", WRONG_X),
    ("mxconv.corr2d_multi_in_out(ones(2, 3, 3), {})", "K", [*WRONG_K, *EMPTY_K]),
    (
        "mxconv.corr2d_multi_in_out_1x1({}, ones(3, 2, 1, 1))",
        "X",
        [x for x in WRONG_X if x != "ones(2,1,3)"],
    ),
    (
        "mxconv.corr2d_multi_in_out_1x1(ones(2, 3, 3), {})",
        "K",
        [*WRONG_K, *EMPTY_K, "ones(3,2,2,2)", "np_ones(0,2,1,1).as_nd_ndarray()"],
    ),
    (
        "mxconv.corr2d_multi_in_out_1x1(ones(2, 3, 3, dtype='int32'), {})",
        "K",
        ["ones(3,2,1,1,dtype='int32')"],
    ),
    ("mxconv.rounding_bound({}, ones(3, 2, 2, 2))", "X", WRONG_X),
    ("mxconv.rounding_bound(ones(2, 3, 3), {})", "K", [*WRONG_K, *EMPTY_K]),
    (
        "mxconv.rounding_bound(ones(2, 3, 3, dtype='int32'), {})",
        "K",
        ["ones(3,2,2,2,dtype='int32')"],
    ),
    ("mxconv.toeplitz({}, (2, 3, 3))", "K", [*MATRICES, "ones(2,2)", "ones(3,3,2,2)", *EMPTY_K]),
    (
        "mxconv.toeplitz(ones(3, 2, 2, 2), {})",
        "input_shape",
        "None 4 'chw' () (3,3) (1,2,3,3) (3,3,3) (2,1,3) (2,3,0) (2,-3,3) (2,3,3.5) (2,3,None) "
        "(2,'3',3) {} object() ones(2,3,3) (2,2**16,2**16) (2,nan,3)".split(),
    ),
    ("mxconv.toeplitz(ones(3, 2, 2, 2), (2, 3, 3), {})", "strides", ["0", *PAIRS, *NESTED]),
    ("mxconv.toeplitz(ones(3, 2, 2, 2), (2, 3, 3), padding={})", "padding", PAIRS),
    (
        "mxconv.toeplitz(ones(3, 2, 2, 2), (2, 3, 3), dilation={})",
        "dilation",
        ["0", *PAIRS, *NESTED],
    ),
    ("mxconv.ConvGeometry({}, 3)", "channels", ["0", *COUNTS]),
    ("mxconv.ConvGeometry(4, {})", "kernel_size", ["0", *PAIRS, *NESTED]),
    ("mxconv.ConvGeometry(4, 3, 1, 0, 1, {})", "groups", ["0", "3", *COUNTS]),
    ("mxconv.ConvGeometry(4, 3, layout={})", "layout", ["None", *CHOICES]),
    ("mxconv.ConvGeometry(4, 3, padding_mode={})", "padding_mode", ["None", *CHOICES]),
    ("mxconv.ConvGeometry(4, 3, in_channels=4).output_shape({})", "shape", SHAPES),
    ("mxconv.ConvGeometry(4, 3, groups=2).with_in_channels({})", "in_channels", ["3", *COUNTS]),
    ("mxconv.compose({}, ones(3, 2, 2, 2))", "first", [*KERNELS, "conv()"]),
    ("mxconv.compose(ones(2, 1, 2, 2), {})", "second", [*KERNELS, "conv()"]),
    (
        "mxconv.compose(ones(2, 1, 2, 2), {})",
        "second",
        ["ones(3,2,2,2,dtype='float64')", "ones(3,2,2,2,ctx=mx.cpu(1))"],
    ),
    ("mxconv.compose(ones({}, 2, 2, 2), ones(3, 2, 2, 2))", "first", ["1", "3"]),
    ("mxconv.compose(conv(activation={}), conv())", "first", ["'relu'"]),
    ("mxconv.compose({}, conv())", "first", ["nn.Dense(4)", "nn.Conv3D(4,3)"]),
    ("mxconv.compose({}, conv())", "initialize", ["nn.Conv2D(4,3)"]),
    ("mxconv.compose(conv(), {})", "initialize", ["nn.Conv2D(4,3,in_channels=4)"]),
    ("mxconv.compose({}, conv())", "give in_channels", ["start(nn.Conv2D(4,3))"]),
    ("mxconv.compose(conv(), conv(padding={}))", "second", ["1"]),
    ("mxconv.compose(conv(), conv({}))", "second", ["3"]),
    ("mxconv.compose(conv(), conv(layout={}))", "second", ["'NHWC'"]),
    (
        "mxconv.factor({}, 2)",
        "kernel",
        "None 4 'x' [1,3,2] np.ones(3) np_ones(3) ones(1,3) ones(3,3) ones(3,dtype='int32') "
        "ones(3)/0 object() sym.var('k') sparse(3,1) np_ones(0).as_nd_ndarray()".split(),
    ),
    ("mxconv.factor(ones(3), {})", "length", ["0", "4", *COUNTS]),
    ("mxconv.decompose({}, 1)", "kernel", KERNELS),
    ("mxconv.decompose(ones(3, 2, 2, 2), {})", "size", ["0", "(1,3)", "2**31", *PAIRS]),
    ("mxconv.choose_algorithms({}, (1, 4, 9, 9))", "net", NETS),
    ("mxconv.choose_algorithms(network(), {})", "shape", [*SHAPES, *SEVERAL]),
    ("mxconv.cost({}, (1, 4, 9, 9))", "layer", ["None", "4", "'x'", "nn.Conv2D", "ones(3,4,2,2)"]),
    ("mxconv.cost({}, (1, 4, 9, 9))", "layer", ["object()", "sym.var('x')", "Unhybridizable()"]),
    ("mxconv.cost(mxconv.ConvGeometry(4, 3, in_channels=4), {})", "shape", SHAPES),
    ("mxconv.cost(conv(), {})", "shape", SHAPES),
    ("mxconv.cost(network(), {})", "shape", [*SHAPES, *SEVERAL]),
    ("mxconv.convert({})", "net", NETS),
    ("mxconv.convert(network(), {})", "algorithm", [*ALGORITHMS, "'tile'", "'pixels'"]),
    ("mxconv.revert({})", "net", NETS),
    ("mxconv.revert(network(padding={}))", "padding", ["((0,1),(0,1))"]),
    ("mxconv.set_algorithm({}, 'direct')", "net", [*NETS, "nn.Dense(2)", "nn.Conv2D(4,3)"]),
    ("mxconv.set_algorithm(network(), {})", "algorithm", [*ALGORITHMS, "'pixels'"]),
    (
        "mxconv.set_algorithm(network(), 'direct', {})",
        "where",
        ["3", "1.5", "nan", "'('", "''", "'none'", "['conv']", "b'conv'", "ones(2)", "np.ones(2)"],
    ),
    ("mxconv.set_geometry({}, strides=1)", "net", [*NETS, "nn.Dense(2)", "nn.Conv2D(4,3)"]),
    ("mxconv.set_geometry(network(), {}, strides=1)", "where", ["3", "nan", "'('", "'none'"]),
    ("mxconv.set_geometry(network(), strides={})", "strides", ["0", *PAIRS[1:], *NESTED]),
    ("mxconv.set_geometry(network(), padding={})", "padding", PAIRS[1:]),
    ("mxconv.set_geometry(network(), dilation={})", "dilation", ["0", *PAIRS[1:], *NESTED]),
    ("setattr(conv(), 'strides', {})", "strides", ["0", *PAIRS, *NESTED]),
    ("setattr(conv(), 'padding', {})", "padding", PAIRS),
    ("setattr(conv(), 'dilation', {})", "dilation", ["0", *PAIRS, *NESTED]),
    ("edited(stride={})(X)", "strides", ["0", "-1", "nan", "'3'", "(3,3,3)", "object()"]),
    ("edited(kernel={})(X)", "kernel", ["(5,5)", "(1,1)"]),
    ("mxconv.tune({}, X, progress=False)", "net", [*NETS, "nn.Dense(2)", "nn.Conv2D(4,3)"]),
    ("mxconv.tune({}, X, progress=False)", "initialize", ["mxconv.MultiChannelConv2D(4,3)"]),
    ("mxconv.tune(conv(), {}, progress=False)", "input", INPUTS),
    (
        "mxconv.tune(conv(), X, seconds={}, progress=False)",
        "seconds",
        "None '1' True 0 -1 nan inf 1j [] ones(1) np.ones(2) object()".split(),
    ),
    ("mxconv.tune(conv(), X, seconds=1e-3, path={}, progress=False)", "path", PATHS),
    ("mxconv.tune(conv(), X, {}, seconds=1e-3, progress=False)", "training", ["'no'", "ones(2)"]),
    ("mxconv.tune(conv(), X, seconds=1e-3, progress={})", "progress", ["'no'", "ones(2)"]),
    ("mxconv.tune(conv(), {}, progress=False)", "x", ["()", "(X,3)", "(X,[])", "[X]"]),
    ("mxconv.save_parameters({}, 'x.params')", "net", NETS),
    ("mxconv.save_parameters(conv(), {})", "path", ["None", "3", "[]", "''", "'x.txt'", "'.'"]),
    ("mxconv.load_parameters({}, 'x.params')", "net", NETS),
    ("mxconv.load_parameters(conv(), {})", "path", ["None", "3", "[]", "file('')", "file('{}')"]),
    (
        "mxconv.load_parameters(conv(), saved(), ctx={})",
        "ctx",
        ["3", "'cpu'", "[]", "[3]", "mx.gpu(99)"],
    ),
    ("mxconv.load_parameters(conv(), saved(), cast_dtype={})", "cast_dtype", ["'no'", "2", "[]"]),
    ("mxconv.load_parameters(conv(), saved(), dtype_source={})", "dtype_source", ["3", "'x'"]),
    ("mxconv.load_tuning({}, 'tuning.json')", "net", [*NETS, "nn.Dense(2)"]),
    ("mxconv.load_tuning(conv(), {})", "path", ["None", "3", "1.5", "[]", "object()"]),
    (
        "mxconv.load_tuning(conv(), {})",
        "path",
        "file('') file('{}') file('[]') file('direct') tuning(3) tuning({'.':3})".split(),
    ),
    (
        "mxconv.load_tuning(conv(), {})",
        "layer",
        [
            "tuning({'x':{'algorithm':'direct','geometry':''}})",
            "tuning({'.':{'algorithm':'direct','geometry':''}})",
            "tuning({'.':{'algorithm':'fast','geometry':str(conv().geometry)}})",
            "tuning({'.':{'algorithm':3,'geometry':str(conv().geometry)}})",
            "tuning({'.':{'algorithm':'pixels','geometry':str(conv().geometry)}})",
        ],
    ),
]
EXPORT = [
    ("mxconv.export_onnx({}, 'x.onnx', (1, 4, 9, 9))", "net", [*NETS, "Unhybridizable()"]),
    ("mxconv.export_onnx({}, 'x.onnx', (1, 4, 9, 9))", "initialize", ["nn.Conv2D(4,3)"]),
    ("mxconv.export_onnx(conv(), {}, (1, 4, 9, 9))", "path", ["None", *PATHS]),
    (
        "mxconv.export_onnx(conv(), 'x.onnx', {})",
        "shape",
        [shape for shape in SHAPES if "2**10" not in shape],  # which other runtimes may take
    ),
    (
        "mxconv.export_onnx(conv(), 'x.onnx', (1, 4, 9, 9), {})",
        "dtype",
        ["None", "'int8'", "'fp32'", "'bfloat16'", "'float64'", "3", "nan", "[]"],
    ),
    ("mxconv.export_onnx(conv(), 'x.onnx', {})", "shape", SEVERAL),
    (
        "mxconv.export_onnx(conv(), 'x.onnx', (1, 4, 9, 9), check={})",
        "check",
        ["None", "'no'", "2", "nan", "[]", "ones(2)"],
    ),
]
GROUPS = {  # name: layers, and rows of the table
    "arguments and inputs": (tuple(LAYERS), EITHER),
    "arguments and inputs of its own": (("MultiChannelConv2D",), OURS),
    "mxconv's functions": (("MultiChannelConv2D",), FUNCTIONS),
    "export_onnx": (("MultiChannelConv2D",), EXPORT),
}


def can_run(group):
    """Whether what a group calls is installed."""
    return group != "export_onnx" or find_spec("onnx") is not None


def cases(group):
    """The cases of a group of the table."""
    _, rows = GROUPS[group]
    return [
        Case(template.format(value), template, argument, value)
        for template, argument, values in rows
        for value in values
    ]


# What the templates and the values call.


def ones(*shape, **kwargs):
    dtype = kwargs.pop("dtype", "float32")
    return nd.ones(shape, **kwargs).astype(dtype)


def np_ones(*shape, **kwargs):
    with mx.util.np_shape(True):
        return mx.np.ones(shape, **kwargs)


def sparse(*shape):
    return ones(*shape).tostype("row_sparse")


def csr(*shape):
    return ones(*shape).tostype("csr")


def start(block, hybridize=False, dtype=None, ctx=None):
    """An initialized block."""
    block.initialize(ctx=ctx)
    if dtype is not None:
        block.cast(dtype)
    if hybridize:
        block.hybridize(static_alloc=True, static_shape=True)
    return block


def ready(block, x=None, **kwargs):
    """An initialized block that has been called with a right input."""
    start(block, **kwargs)(ones(1, 4, 9, 9) if x is None else x).wait_to_read()
    return block


def cast(block, dtype):
    block.cast(dtype)
    return block


def conv(channels=4, **kwargs):
    return start(mxconv.MultiChannelConv2D(4, 3, in_channels=channels, **kwargs))


def network(**kwargs):
    net = nn.HybridSequential()
    net.add(
        mxconv.MultiChannelConv2D(**{"channels": 4, "kernel_size": 3, "in_channels": 4, **kwargs})
    )
    net.add(nn.Conv2D(4, 3, groups=2, in_channels=4))
    return start(net)


def edited(**kwargs):
    """A layer whose `_kwargs` have been edited, as people do."""
    layer = conv()
    layer._kwargs.update(kwargs)
    return layer


def saved():
    """The path of parameters for `conv()`."""
    path = tempfile.mkdtemp(dir=os.getcwd()) + "/saved.params"
    mxconv.save_parameters(conv(), path)
    return path


def file(text):
    """The path of a file with this text."""
    path = tempfile.mkdtemp(dir=os.getcwd()) + "/tuning.json"
    with open(path, "w") as stream:
        stream.write(text)
    return path


def tuning(layers):
    """The path of a file like those of `mxconv.tune`."""
    return file(json.dumps({"layers": layers}))


class Unhybridizable(HybridBlock):
    def forward(self, x):
        return x[: x.shape[0] // 2]
