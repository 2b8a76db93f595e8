"""The table of invalid arguments and arrays that bad_input.py tries.

Each row has a call with a placeholder, the name of the invalid argument, and its invalid values.
Calls and values are Python source. `namespace` gives the names that they use: those of mxconv and
those of this module, with the functions at its end.
"""

import json
import os
import tempfile
from collections import namedtuple
from importlib.util import find_spec

import mxconv
from mxconv import MultiChannelConv2D, save_parameters
from mxconv.dtypes import BFLOAT16  # noqa: F401  (only the values use it, as the two below)

import mxnet as mx
import numpy as np  # noqa: F401
from mxnet import nd, sym  # noqa: F401
from mxnet.gluon import HybridBlock, nn

LAYERS = {"nn.Conv2D": nn.Conv2D, "MultiChannelConv2D": MultiChannelConv2D}

Case = namedtuple("Case", "id template argument value")

nan, inf = float("nan"), float("inf")

# Values of the same kind.
COUNTS = """None b'4' 4.5 nan inf -1 -2**63 2**31 2**63 [] [4] (4,4) {} 1j int object()
    nd.ones(1) nd.ones((2,2)) np.ones(2) sym.var('c')""".split()
PAIRS = """None '3' b'33' 1.5 nan -inf -1 -2**63 2**63 (3,) [3] (3,3,3) (3,-1) (3,None) (3,'3')
    (3,nan) (3,2.5) ([3],3) {3:3} {1,2} 1j object() nd.ones(2) np.ones(2) sym.var('k')""".split()
NESTED = ["((3,3),(3,3))", "'same'"]  # valid only as our padding
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
HAVE_DTYPES = ["nd.ones(2)", "np.ones(2)", "np.float32(1)"]  # NumPy accepts them as their dtypes
ALGORITHMS = """None '' 'fast' 'Direct' 0 nan ['native'] object() np.ones(2) nd.ones(2)""".split()
NETS = """None 4 'net' [] nn.Conv2D ones(1,4,9,9) sym.var('net') np.ones(2)""".split()
SHAPES = """None 4 1.5 'nchw' () (9,) (4,9,9) (1,4,9,9,1) (1,3,9,9) (1,4,2,9) (0,4,9,9) (1,4,9,0)
    (1,4,-9,9) (1,4,9,9.5) (1,4,9,nan) (1,4,None,9) (1,4,'9',9) {} object() ones(1,4,9,9)
    np.ones((1,4,9,9)) (2**20,4,2**10,2**10) (1,4,2**63,9)""".split()
# Shapes for networks with several inputs; the network here has one.
SEVERAL = """((1,4,9,9),(1,4,9,9)) ((1,4,9,9),3) ((1,4,9,9),'x') ([(1,4,9,9),()],) (((1,4,9,9),),)
    ((1,4,9,9),None)""".split()

# Rows of the table: a template, the name of the invalid argument, its invalid values.
# For both layers. Values that nn.Conv2D reads as a default, or converts ('4' to 4), aren't here.
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
    ("start(Layer(2**16, 3))({})", "input", ["ones(1,2**14,3,3)"]),  # the weight is too large
    ("start(Layer(4, 3), dtype='float64')({})", "input", ["ones(1,4,9,9)"]),
    ("start(Layer(4, 3), dtype='float16')({})", "input", ["ones(1,4,9,9,dtype='float16')"]),
    ("start(Layer(4, 3), ctx=mx.cpu(1))({})", "input", ["ones(1,4,9,9)"]),
    ("ready(Layer(4, 3, in_channels=4))(*{})", "argument", ["()", "(X,X)", "(X,None)"]),
    ("cast(ready(Layer(4, 3, in_channels=4)), {})", "dtype", DTYPES),
]

# For what only MultiChannelConv2D has, or rejects.
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
    ("Layer(16, 3, in_channels=4, algorithm={})", "algorithm", ["'pad_channels'", "'subsample'"]),
    (
        "Layer(4, 1, in_channels=4, groups=2, algorithm={})",
        "algorithm",
        ["'depth_to_space'", "'subsample'"],
    ),
    (
        "setattr(Layer(4, 3, in_channels=4), 'algorithm', {})",
        "algorithm",
        [*ALGORITHMS, "'subsample'"],
    ),
    ("start(Layer(16, 3, algorithm={}))(X)", "algorithm", ["'pad_channels'", "'subsample'"]),
    (
        "start(Layer(4, 3, groups=2, algorithm={}))(X)",
        "algorithm",
        ["'depth_to_space'", "'pad_channels'"],
    ),
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
        for name in ("definition", "depth_to_space")
    ),
    (
        "start(Layer(4, 3, dtype='bfloat16', padding='same', layout='NHWC'))({})",
        "input",
        ["ones(1,4,9,9,dtype=BFLOAT16)"],
    ),
    (
        "start(Layer(4, 3, dtype='bfloat16', algorithm='im2col'))({})",
        "input",
        ["ones(1,4,9,9,dtype=BFLOAT16)"],
    ),
]

MATRICES = """None 4 'x' [[1]] np.ones((3,3)) sym.var('x') sparse(3,3) csr(3,3) np_ones()
    np_ones(3,3) ones(3) ones(1,1,1,3,3)""".split()
WRONG_3_3 = [*MATRICES, "np_ones(0,3).as_nd_ndarray()", "ones(2,3,3)", "ones(3,3,dtype='float64')"]
WRONG_3_3 += ["ones(3,3,ctx=mx.cpu(1))"]
EMPTY_2_2 = ["np_ones(0,2).as_nd_ndarray()", "np_ones(2,0).as_nd_ndarray()"]
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
PATHS = "3 1.5 [] '' 'choices.txt' '/no/such/place/choices.json' '.' object()".split()

FUNCTIONS = [
    *(
        row
        for name in ("corr2d", "corr2d_loops")
        for row in (
            (f"{name}({{}}, ones(2, 2))", "X", [*WRONG_3_3, "ones(1,3)"]),
            (f"{name}(ones(3, 3), {{}})", "K", [*MATRICES, *EMPTY_2_2, "ones(4,1)"]),
        )
    ),
    ("corr2d_multi_in({}, ones(2, 2, 2))", "X", WRONG_X),
    ("corr2d_multi_in(ones(2, 3, 3), {})", "K", [*MATRICES, "ones(2,2)", "ones(3,2,2)"]),
    (
        "corr2d_multi_in(np_ones(0, 3, 3).as_nd_ndarray(), {})",
        "K",
        ["np_ones(0,2,2).as_nd_ndarray()"],
    ),
    ("corr2d_multi_in_out({}, ones(3, 2, 2, 2))", "X", WRONG_X),
    ("corr2d_multi_in_out(ones(2, 3, 3), {})", "K", [*WRONG_K, *EMPTY_K]),
    (
        "corr2d_multi_in_out_1x1({}, ones(3, 2, 1, 1))",
        "X",
        [x for x in WRONG_X if x != "ones(2,1,3)"],
    ),
    (
        "corr2d_multi_in_out_1x1(ones(2, 3, 3), {})",
        "K",
        [*WRONG_K, *EMPTY_K, "ones(3,2,2,2)", "np_ones(0,2,1,1).as_nd_ndarray()"],
    ),
    (
        "corr2d_multi_in_out_1x1(ones(2, 3, 3, dtype='int32'), {})",
        "K",
        ["ones(3,2,1,1,dtype='int32')"],
    ),
    ("rounding_error_bound({}, ones(3, 2, 2, 2))", "X", WRONG_X),
    ("rounding_error_bound(ones(2, 3, 3), {})", "K", [*WRONG_K, *EMPTY_K]),
    (
        "rounding_error_bound(ones(2, 3, 3, dtype='int32'), {})",
        "K",
        ["ones(3,2,2,2,dtype='int32')"],
    ),
    ("convolution_matrix({}, (2, 3, 3))", "K", [*MATRICES, "ones(2,2)", "ones(3,3,2,2)", *EMPTY_K]),
    (
        "convolution_matrix(ones(3, 2, 2, 2), {})",
        "input_shape",
        "None 4 'chw' () (3,3) (1,2,3,3) (3,3,3) (2,1,3) (2,3,0) (2,-3,3) (2,3,3.5) (2,3,None) "
        "(2,'3',3) {} object() ones(2,3,3) (2,2**16,2**16) (2,nan,3)".split(),
    ),
    ("convolution_matrix(ones(3, 2, 2, 2), (2, 3, 3), {})", "strides", ["0", *PAIRS, *NESTED]),
    ("convolution_matrix(ones(3, 2, 2, 2), (2, 3, 3), padding={})", "padding", PAIRS),
    (
        "convolution_matrix(ones(3, 2, 2, 2), (2, 3, 3), dilation={})",
        "dilation",
        ["0", *PAIRS, *NESTED],
    ),
    ("ConvGeometry({}, 3)", "channels", ["0", *COUNTS]),
    ("ConvGeometry(4, {})", "kernel_size", ["0", *PAIRS, *NESTED]),
    ("ConvGeometry(4, 3, 1, 0, 1, {})", "groups", ["0", "3", *COUNTS]),
    ("ConvGeometry(4, 3, layout={})", "layout", ["None", *CHOICES]),
    ("ConvGeometry(4, 3, padding_mode={})", "padding_mode", ["None", *CHOICES]),
    ("ConvGeometry(4, 3, in_channels=4).output_shape({})", "shape", SHAPES),
    ("ConvGeometry(4, 3, groups=2).with_in_channels({})", "in_channels", ["3", *COUNTS]),
    ("merge_convolutions({}, ones(3, 2, 2, 2))", "first", [*KERNELS, "conv()"]),
    ("merge_convolutions(ones(2, 1, 2, 2), {})", "second", [*KERNELS, "conv()"]),
    (
        "merge_convolutions(ones(2, 1, 2, 2), {})",
        "second",
        ["ones(3,2,2,2,dtype='float64')", "ones(3,2,2,2,ctx=mx.cpu(1))"],
    ),
    ("merge_convolutions(ones({}, 2, 2, 2), ones(3, 2, 2, 2))", "first", ["1", "3"]),
    ("merge_convolutions(conv(activation={}), conv())", "first", ["'relu'"]),
    ("merge_convolutions({}, conv())", "first", ["nn.Dense(4)", "nn.Conv3D(4,3)"]),
    ("merge_convolutions({}, conv())", "initialize", ["nn.Conv2D(4,3)"]),
    ("merge_convolutions(conv(), {})", "initialize", ["nn.Conv2D(4,3,in_channels=4)"]),
    ("merge_convolutions({}, conv())", "give in_channels", ["start(nn.Conv2D(4,3))"]),
    ("merge_convolutions(conv(), conv(padding={}))", "second", ["1"]),
    ("merge_convolutions(conv(), conv({}))", "second", ["3"]),
    ("merge_convolutions(conv(), conv(layout={}))", "second", ["'NHWC'"]),
    (
        "factor_kernel_1d({}, 2)",
        "kernel",
        "None 4 'x' [1,3,2] np.ones(3) np_ones(3) ones(1,3) ones(3,3) ones(3,dtype='int32') "
        "ones(3)/0 object() sym.var('k') sparse(3,1) np_ones(0).as_nd_ndarray()".split(),
    ),
    ("factor_kernel_1d(ones(3), {})", "length", ["0", "4", *COUNTS]),
    ("expand_kernel({}, 1)", "kernel", KERNELS),
    ("expand_kernel(ones(3, 2, 2, 2), {})", "size", ["0", "(1,3)", "2**31", *PAIRS]),
    ("choose_algorithms({}, (1, 4, 9, 9))", "net", NETS),
    (
        "choose_algorithms(network(), {})",
        "shape",
        [*(shape for shape in SHAPES if shape != "ones(1,4,9,9)"), *SEVERAL],  # that array is valid
    ),
    ("choose_algorithms(network(), {})", "shape", ["ones(1,5,9,9)", "ones(9)", "np_ones(0,4,9,9)"]),
    ("count_cost({}, (1, 4, 9, 9))", "layer", ["None", "4", "'x'", "nn.Conv2D", "ones(3,4,2,2)"]),
    ("count_cost({}, (1, 4, 9, 9))", "layer", ["object()", "sym.var('x')", "Unhybridizable()"]),
    ("count_cost(ConvGeometry(4, 3, in_channels=4), {})", "shape", SHAPES),
    ("count_cost(conv(), {})", "shape", SHAPES),
    ("count_cost(network(), {})", "shape", [*SHAPES, *SEVERAL]),
    ("convert({})", "net", NETS),
    ("convert(network(), {})", "algorithm", [*ALGORITHMS, "'depth_to_space'", "'subsample'"]),
    ("revert({})", "net", NETS),
    ("revert(network(padding={}))", "padding", ["((0,1),(0,1))"]),
    ("set_algorithm({}, 'native')", "net", [*NETS, "nn.Dense(2)", "nn.Conv2D(4,3)"]),
    ("set_algorithm(network(), {})", "algorithm", [*ALGORITHMS, "'subsample'"]),
    (
        "set_algorithm(network(), 'native', {})",
        "where",
        ["3", "1.5", "nan", "'('", "''", "'none'", "['conv']", "b'conv'", "ones(2)", "np.ones(2)"],
    ),
    ("set_geometry({}, strides=1)", "net", [*NETS, "nn.Dense(2)", "nn.Conv2D(4,3)"]),
    ("set_geometry(network(), {}, strides=1)", "where", ["3", "nan", "'('", "'none'"]),
    ("set_geometry(network(), strides={})", "strides", ["0", *PAIRS[1:], *NESTED]),
    ("set_geometry(network(), padding={})", "padding", PAIRS[1:]),
    ("set_geometry(network(), dilation={})", "dilation", ["0", *PAIRS[1:], *NESTED]),
    ("setattr(conv(), 'strides', {})", "strides", ["0", *PAIRS, *NESTED]),
    ("setattr(conv(), 'padding', {})", "padding", PAIRS),
    ("setattr(conv(), 'dilation', {})", "dilation", ["0", *PAIRS, *NESTED]),
    ("edited(stride={})(X)", "strides", ["0", "-1", "nan", "'3'", "(3,3,3)", "object()"]),
    ("edited(kernel={})(X)", "kernel", ["(5,5)", "(1,1)"]),
    ("choose_algorithms({}, X, measure=True)", "net", [*NETS, "nn.Dense(2)", "nn.Conv2D(4,3)"]),
    ("choose_algorithms({}, X, measure=True)", "initialize", ["MultiChannelConv2D(4,3)"]),
    ("choose_algorithms(conv(), {}, measure=True)", "input", INPUTS),
    (
        "choose_algorithms(conv(), X, measure=True, seconds={})",
        "seconds",
        "None '1' True 0 -1 nan inf 1j [] ones(1) np.ones(2) object()".split(),
    ),
    ("choose_algorithms(conv(), X, measure=True, path={})", "path", PATHS),
    ("choose_algorithms(conv(), X, measure=True, training={})", "training", ["'no'", "ones(2)"]),
    ("choose_algorithms(conv(), X, measure=True, progress={})", "progress", ["'no'", "ones(2)"]),
    ("choose_algorithms(conv(), {}, measure=True)", "x", ["()", "(X,3)", "(X,[])", "[X]"]),
    ("choose_algorithms(conv(), {}, measure=True)", "x", ["(1,4,9,9)", "((1,4,9,9),)"]),
    (
        "choose_algorithms(conv(), X, measure={})",
        "measure",
        ["None", "'no'", "2", "nan", "ones(2)"],
    ),
    ("choose_algorithms(conv(), X, {})", "measure", ["'training'", "0.5"]),
    ("save_parameters({}, 'x.params')", "net", NETS),
    ("save_parameters(conv(), {})", "path", ["None", "3", "[]", "''", "'x.txt'", "'.'"]),
    ("load_parameters({}, 'x.params')", "net", NETS),
    ("load_parameters(conv(), {})", "path", ["None", "3", "[]", "file('')", "file('{}')"]),
    ("load_parameters(conv(), saved(), ctx={})", "ctx", ["3", "'cpu'", "[]", "[3]", "mx.gpu(99)"]),
    ("load_parameters(conv(), saved(), cast_dtype={})", "cast_dtype", ["'no'", "2", "[]"]),
    ("load_parameters(conv(), saved(), dtype_source={})", "dtype_source", ["3", "'x'"]),
    ("load_choices({}, 'choices.json')", "net", [*NETS, "nn.Dense(2)"]),
    ("load_choices(conv(), {})", "path", ["None", "3", "1.5", "[]", "object()"]),
    (
        "load_choices(conv(), {})",
        "path",
        "file('') file('{}') file('[]') file('native') choices(3) choices({'.':3})".split(),
    ),
    (
        "load_choices(conv(), {})",
        "layer",
        [
            "choices({'x':{'algorithm':'native','geometry':''}})",
            "choices({'.':{'algorithm':'native','geometry':''}})",
            "choices({'.':{'algorithm':'fast','geometry':str(conv().geometry)}})",
            "choices({'.':{'algorithm':3,'geometry':str(conv().geometry)}})",
            "choices({'.':{'algorithm':'subsample','geometry':str(conv().geometry)}})",
        ],
    ),
]
EXPORT = [
    ("export_onnx({}, 'x.onnx', (1, 4, 9, 9))", "net", [*NETS, "Unhybridizable()"]),
    ("export_onnx({}, 'x.onnx', (1, 4, 9, 9))", "initialize", ["nn.Conv2D(4,3)"]),
    ("export_onnx(conv(), {}, (1, 4, 9, 9))", "path", ["None", *PATHS]),
    (
        "export_onnx(conv(), 'x.onnx', {})",
        "shape",
        [shape for shape in SHAPES if "2**10" not in shape],  # other runtimes may accept those
    ),
    (
        "export_onnx(conv(), 'x.onnx', (1, 4, 9, 9), {})",
        "dtype",
        ["None", "'int8'", "'fp32'", "'bfloat16'", "'float64'", "3", "nan", "[]"],
    ),
    ("export_onnx(conv(), 'x.onnx', {})", "shape", SEVERAL),
    (
        "export_onnx(conv(), 'x.onnx', (1, 4, 9, 9), check={})",
        "check",
        ["None", "'no'", "2", "nan", "[]", "ones(2)"],
    ),
]
GROUPS = {  # name: (what is tested, rows of the table)
    "arguments and inputs": (tuple(LAYERS), EITHER),
    "arguments and inputs of its own": (("MultiChannelConv2D",), OURS),
    "functions": (("mxconv",), FUNCTIONS),
    "export_onnx": (("mxconv",), EXPORT),
}


def can_run(group):
    """Whether the packages that a group needs are installed."""
    return group != "export_onnx" or find_spec("onnx") is not None


def cases(group):
    """The cases of a group: one for each value of each of its rows."""
    _, rows = GROUPS[group]
    return [
        Case(template.format(value), template, argument, value)
        for template, argument, values in rows
        for value in values
    ]


def namespace(tested):
    """The names that templates and values use; `Layer` is what is tested, if that is a layer."""
    public = {
        name: getattr(module, name)
        for module in (mxconv, mxconv.exercises)
        for name in module.__all__
    }
    inputs = {"X": ones(1, 4, 9, 9), "Y": ones(1, 9, 9, 4)}
    return {**public, **globals(), **inputs, "Layer": LAYERS.get(tested)}


# The functions that templates and values call.


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
    """An initialized block that has been called with a valid input."""
    start(block, **kwargs)(ones(1, 4, 9, 9) if x is None else x).wait_to_read()
    return block


def cast(block, dtype):
    block.cast(dtype)
    return block


def conv(channels=4, **kwargs):
    return start(MultiChannelConv2D(4, 3, in_channels=channels, **kwargs))


def network(**kwargs):
    net = nn.HybridSequential()
    arguments = {"channels": 4, "kernel_size": 3, "in_channels": 4, **kwargs}
    net.add(MultiChannelConv2D(**arguments))
    net.add(nn.Conv2D(4, 3, groups=2, in_channels=4))
    return start(net)


def edited(**kwargs):
    """A layer whose `_kwargs` have been edited, as is common with Gluon layers."""
    layer = conv()
    layer._kwargs.update(kwargs)
    return layer


def saved():
    """The path of a file with parameters for `conv()`."""
    path = tempfile.mkdtemp(dir=os.getcwd()) + "/saved.params"
    save_parameters(conv(), path)
    return path


def file(text):
    """The path of a file with this text."""
    path = tempfile.mkdtemp(dir=os.getcwd()) + "/choices.json"
    with open(path, "w") as stream:
        stream.write(text)
    return path


def choices(layers):
    """The path of a file like those that `choose_algorithms` saves."""
    return file(json.dumps({"layers": layers}))


class Unhybridizable(HybridBlock):
    def forward(self, x):
        return x[: x.shape[0] // 2]
