"""Every kind of parameter file: ours reads what Gluon's `load_parameters` reads, or more."""

import os
import struct
import warnings
from contextlib import contextmanager

from helpers import assert_same, fill, slow_but, values
from mxconv import MultiChannelConv2D, load_parameters, save_parameters
from mxconv.files import saved_arrays

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd
from mxnet.gluon import HybridBlock, SymbolBlock, nn
from mxnet.util import np_array, np_shape

X = (2, 4, 7, 7)


class Custom(HybridBlock):
    """Its paths differ from its parameters' names, and it has a parameter of its own."""

    def __init__(self, prefix):
        super().__init__(prefix=prefix)
        with self.name_scope():
            self.first = MultiChannelConv2D(3, 3, in_channels=4)
            self.second = nn.HybridSequential()
            with self.second.name_scope():
                self.second.add(nn.BatchNorm(in_channels=3), nn.Conv2D(2, 1, in_channels=3))
            self.scale = self.params.get("factor", shape=(1,), init="ones")

    def hybrid_forward(self, F, x, scale):
        y = self.second(self.first(x))
        return y * scale if isinstance(y, mx.np.ndarray) else F.broadcast_mul(y, scale)


def nested(prefix):
    net = nn.HybridSequential(prefix=prefix)
    with net.name_scope():
        net.add(MultiChannelConv2D(3, 3, in_channels=4), nn.BatchNorm(in_channels=3))
        net.add(nn.HybridSequential())
        with net[2].name_scope():
            net[2].add(nn.Conv2D(2, 3, in_channels=3, use_bias=False), nn.BatchNorm(in_channels=2))
        net.add(nn.Dense(2, in_units=18))
    return net


def shared(prefix):
    net = nn.HybridSequential(prefix=prefix)
    with net.name_scope():
        net.add(MultiChannelConv2D(4, 1, in_channels=4), nn.BatchNorm(in_channels=4))
        net.add(MultiChannelConv2D(4, 1, in_channels=4, params=net[0].params))
    return net


def lone(prefix):
    return MultiChannelConv2D(3, 3, in_channels=4, prefix=prefix)


def deferred(prefix):
    net = nn.HybridSequential(prefix=prefix)
    with net.name_scope():
        net.add(MultiChannelConv2D(3, 3), nn.BatchNorm(), nn.Dense(2))
    return net


def imported(prefix):
    """A network that was exported and is now a graph."""
    x = mx.sym.var("data")
    return SymbolBlock(nested(prefix)(x), x)


NETWORKS = [Custom, nested, shared, lone, deferred, imported]


def made(build, prefix):
    """A network; without a prefix, its names start from 0 again."""
    with mx.name.NameManager():
        return build(prefix)


def prepared(build, prefix="net_"):
    """A network whose parameters all differ."""
    net = made(build, prefix)
    net.initialize()
    if build in (deferred, imported):
        net(nd.ones(X))
    fill(net)
    for i, parameter in enumerate(net.collect_params().values()):
        parameter.set_data(parameter.data() + i)
    return net


def by_path(net, path):
    net.save_parameters(path)


def by_path_once(net, path):
    net.save_parameters(path, deduplicate=True)


def ours(net, path):
    save_parameters(net, path)


def by_name(net, path):
    net.collect_params().save(path)


def by_name_without_prefix(net, path):
    net.collect_params().save(path, strip_prefix=net.prefix)


def exported(net, path):
    net.hybridize()
    net(nd.ones(X))
    net.export(path)
    os.rename(f"{path}-0000.params", path)
    net.hybridize(False)


def of_a_module(net, path):
    """As `mxnet.model.save_checkpoint` writes them, with what isn't trained under 'aux:'."""
    arrays = {
        f"{'aux' if p.grad_req == 'null' else 'arg'}:{name}": p.data()
        for name, p in net.collect_params().items()
    }
    nd.save(path, arrays)


def of_first_version(net, path):
    write_old(
        net,
        path,
        lambda shape: struct.pack(f"<Ii{len(shape)}q", saved_arrays.V1_MAGIC, len(shape), *shape),
    )


def of_no_version(net, path):
    write_old(net, path, lambda shape: struct.pack(f"<I{len(shape)}I", len(shape), *shape))


def write_old(net, path, head):
    """As releases of MXNet without sparse arrays wrote them."""
    arrays = {name: p.data().asnumpy() for name, p in net.collect_params().items()}
    parts = [struct.pack("<3Q", saved_arrays.LIST_MAGIC, 0, len(arrays))]
    for array in arrays.values():
        parts += [head(array.shape), struct.pack("<3i", 1, 0, 0), array.tobytes()]
    parts += [struct.pack("<Q", len(arrays))]
    parts += [struct.pack("<Q", len(name)) + name.encode() for name in arrays]
    with open(path, "wb") as file:
        file.write(b"".join(parts))


def sparse(net, path):
    """Every other row is zeros and isn't stored."""
    for parameter in net.collect_params().values():
        data = parameter.data()
        data[::2] = 0
    arrays = net._collect_params_with_prefix().items()
    nd.save(path, {name: p.data().tostype("row_sparse") for name, p in arrays})


def compressed(net, path):
    """Matrices in the CSR format, everything else dense."""
    arrays = {}
    for name, parameter in net._collect_params_with_prefix().items():
        data = parameter.data()
        data[:1] = 0
        arrays[name] = data.tostype("csr") if data.ndim == 2 else data
    nd.save(path, arrays)


def in_numpy_mode(net, path):
    with np_shape(True), np_array(True):
        arrays = net._collect_params_with_prefix().items()
        mx.npx.save(path, {name: p.data().as_np_ndarray() for name, p in arrays})


KINDS = [
    by_path,
    by_path_once,
    ours,
    by_name,
    by_name_without_prefix,
    exported,
    of_a_module,
    of_first_version,
    of_no_version,
    sparse,
    compressed,
    in_numpy_mode,
]


@contextmanager
def without_warnings():
    """Networks that are made several times give many warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def gluons(build, prefix, path):
    """The parameters as Gluon's own loader reads them, or None where it fails."""
    net = made(build, prefix)
    net.initialize()
    try:
        net.load_parameters(path)
    except (AssertionError, ValueError, mx.MXNetError):
        return None
    return values(net)


def gluon_fails(kind, build, prefix):
    """Gluon prefixes names that have a prefix already, and cuts a part off the names of a graph."""
    if build is imported:
        return prefix and kind in (by_path, by_path_once, ours, sparse, compressed)
    return prefix and kind in (by_name, exported, of_a_module, of_first_version, of_no_version)


@pytest.mark.parametrize("prefix", slow_but(["net_", ""], "net_"))
@pytest.mark.parametrize("build", NETWORKS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file(kind, build, prefix, tmp_path):
    path = str(tmp_path / "net.params")
    with without_warnings():
        net = prepared(build, prefix)
        kind(net, path)
        expected = values(net)
        twin, later = made(build, prefix), made(build, prefix)
        later.initialize()
        for other in (twin, later):
            assert load_parameters(other, path) is other
            assert_same(other, expected)
        if kind is in_numpy_mode:  # which Gluon's own reads in that mode only
            return
        theirs = gluons(build, prefix, path)
        assert (theirs is None) == bool(gluon_fails(kind, build, prefix))
        if theirs is not None:
            assert_same(twin, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_fit_changes_nothing(kind, tmp_path):
    path = str(tmp_path / "net.params")
    with without_warnings():
        net = prepared(Custom)
        kind(net, path)
        with open(path, "rb") as file:
            whole = file.read()
        twin = prepared(Custom)
        before = values(twin)
        for length in range(0, len(whole), 7):
            with open(path, "wb") as file:
                file.write(whole[:length])
            with pytest.raises(ValueError, match="is damaged or of another kind"):
                load_parameters(twin, path)
        twin.second[1].weight._shape = (2, 4, 1, 1)
        with open(path, "wb") as file:
            file.write(whole)
        with pytest.raises(ValueError, match=r"expected the shape \(2, 4, 1, 1\).*was changed"):
            load_parameters(twin, path)
        assert_same(twin, before)
        larger, smaller = prepared(nested), lone("net_")
        before = values(larger)
        with pytest.raises(ValueError, match="nothing was changed"):  # it has names in common
            load_parameters(larger, path)
        assert_same(larger, before)
        with pytest.raises(ValueError, match=r"no such parameter \(its names are like 'weight'"):
            load_parameters(smaller, path)
        assert smaller.weight._data is None


@pytest.mark.parametrize("at", range(5))
def test_numpy_mode(at, tmp_path):
    """A scalar, an empty array, and files that were written outside NumPy mode."""
    path = str(tmp_path / "net.params")
    old = prepared(lone)
    (by_path, by_name, of_first_version, of_no_version, sparse)[at](old, path)
    mx.npx.set_np()
    try:
        net = lone("net_")
        load_parameters(net, path)
        assert_same(net, values(old))
        assert type(net.weight.data()) is mx.np.ndarray

        class Odd(HybridBlock):
            def __init__(self):
                super().__init__(prefix="odd_")
                self.scalar = self.params.get("scalar", shape=())
                self.empty = self.params.get("empty", shape=(0, 3))

        arrays = dict(scalar=mx.np.array(5.0), empty=mx.np.ones((0, 3)))
        mx.npx.save(path, arrays)
        odd, theirs = load_parameters(Odd(), path), Odd()
        theirs.load_parameters(path)
        assert_same(odd, values(theirs))
        assert odd.scalar.data().shape == () and odd.scalar.data().item() == 5
        assert odd.empty.data().shape == (0, 3)
        with pytest.raises(
            ValueError, match="'scalar': MXNet can't change .*; nothing was changed"
        ):
            load_parameters(odd, path)
    finally:
        mx.npx.reset_np()
    block = HybridBlock(prefix="odd_")
    for name in ("scalar", "empty"):
        setattr(block, name, block.params.get(name, shape=None, allow_deferred_init=True))
    with pytest.raises(
        ValueError, match=r"the shape \(.*, which MXNet supports only in NumPy mode"
    ):
        load_parameters(block, path)
    assert block.scalar._data is None


@pytest.mark.parametrize("source", ["current", "saved"])
@pytest.mark.parametrize("state", ["new", "initialized", "hybridized"])
@pytest.mark.parametrize("dtype", ["float64", "float16", "float32"])
def test_casting(dtype, state, source, tmp_path):
    path = str(tmp_path / "net.params")
    net = prepared(nested)
    net.cast(dtype)
    net.save_parameters(path)
    twins = nested("net_"), nested("net_")
    for twin in twins:
        if state != "new":
            twin.initialize()
        if state == "hybridized":
            twin.hybridize()
            twin(nd.ones(X))
    if dtype != "float32":
        before = values(twins[0]) if state != "new" else None
        with pytest.raises(
            ValueError, match=f"expected float32, received {dtype}; .*pass cast_dtype=True"
        ):
            load_parameters(twins[0], path, dtype_source=source)
        assert before is None or assert_same(twins[0], before) is None
    load_parameters(twins[0], path, cast_dtype=True, dtype_source=source)
    twins[1].load_parameters(path, cast_dtype=True, dtype_source=source)
    assert_same(twins[0], values(twins[1]))
    found = {np.dtype(p.dtype).name for p in twins[0].collect_params().values()}
    assert "float32" in found if source == "current" else dtype in found
    if dtype != "float16":
        x = nd.ones(X, dtype=twins[0][0].weight.dtype)
        assert np.array_equal(twins[0](x).asnumpy(), twins[1](x).asnumpy())


def test_casting_bfloat16(tmp_path):
    path = str(tmp_path / "layer.params")
    layer = prepared(lone)
    expected = values(layer)
    layer.cast("bfloat16")
    save_parameters(layer, path)
    with pytest.raises(ValueError, match="expected float32, received bfloat16"):
        load_parameters(lone("net_"), path)
    twin = load_parameters(lone("net_"), path, cast_dtype=True)
    for name, value in values(twin).items():
        assert value.dtype == "float32" and np.allclose(value, expected[name], rtol=2**-7)
    saved = load_parameters(lone("net_"), path, cast_dtype=True, dtype_source="saved")
    assert_same(saved, values(layer))


def test_the_naming_scheme_that_matches_best_counts(tmp_path):
    """Two parameters, each with the name of the other's path."""

    class Crossed(HybridBlock):
        def __init__(self, prefix):
            super().__init__(prefix=prefix)
            self.one = self.params.get("two", shape=(2,))
            self.two = self.params.get("one", shape=(2,))
            self.rest = self.params.get("other", shape=(2,))

    path = str(tmp_path / "net.params")
    net, twin = prepared(Crossed), Crossed("net_")
    for kind in (by_path, by_name, by_name_without_prefix):
        kind(net, path)
        fill(load_parameters(twin, path))
        assert_same(load_parameters(twin, path), values(net))
    nd.save(path, {"arg:net_one": nd.ones(2), "aux:net_one": nd.ones(2)})
    with pytest.raises(ValueError, match="'arg:net_one': the network has no such parameter"):
        load_parameters(twin, path)


def test_parameters_with_the_same_name_are_told_apart_by_path(tmp_path):
    path = str(tmp_path / "net.params")

    def twice():
        net = nn.HybridSequential(prefix="net_")
        net.add(nn.Dense(2, in_units=2, prefix="dense_"), nn.Dense(2, in_units=2, prefix="dense_"))
        for layer in net:
            layer.initialize(mx.init.Normal())
        return net

    net, twin = twice(), twice()
    net.save_parameters(path)
    assert_same(load_parameters(twin, path), values(net))
    net[0].collect_params().save(path)
    with pytest.raises(ValueError, match="'dense_weight': the network has no such parameter"):
        load_parameters(twin, path)


def damaged(whole, at, form, value):
    data = bytearray(whole)
    struct.pack_into(form, data, at, value)
    return bytes(data)


def test_damaged_indices_are_rejected(tmp_path):
    """The indices of a sparse array are checked before its values are stored there."""
    path = tmp_path / "x.params"
    rows = np.zeros((5, 3), "float32")
    rows[1], rows[4] = (1, 0, 2), 3
    for storage, places in (("row_sparse", {0: 5, 8: 0}), ("csr", {0: 1, 8: -1, 40: 4, 48: 3})):
        nd.save(str(path), {"w": nd.array(rows).tostype(storage)})
        whole = path.read_bytes()
        (saved,) = saved_arrays.read(whole).values()
        assert np.array_equal(saved.values(), rows) and saved.shape == (5, 3)
        begin = len(whole) - 17 - 8 * (2 if storage == "row_sparse" else 11)
        expected = {"row_sparse": "increasing numbers of rows in an array", "csr": "into a matrix"}
        for at, value in places.items():
            with pytest.raises(ValueError, match=rf"{expected[storage]} of shape \(5, 3\)"):
                saved_arrays.read(damaged(whole, begin + at, "<q", value))
    nothing = nd.zeros((4, 2), stype="row_sparse"), nd.zeros((4, 2), stype="csr")
    for array in nothing:
        nd.save(str(path), {"w": array})
        (saved,) = saved_arrays.read(path.read_bytes()).values()
        assert np.array_equal(saved.values(), np.zeros((4, 2), "float32"))


@pytest.mark.parametrize(
    "arguments, error, says",
    [
        (dict(ctx="cpu"), TypeError, "ctx has the wrong type: expected None.*received ctx='cpu'"),
        (dict(ctx=[mx.cpu(), 0]), TypeError, "ctx has the wrong type"),
        (dict(ctx=[]), ValueError, "ctx is empty"),
        (dict(allow_missing="no"), TypeError, "expected True or False, received allow_missing"),
        (dict(ignore_extra=None), TypeError, "expected True or False, received ignore_extra"),
        (dict(cast_dtype="float16"), TypeError, "expected True or False, received cast_dtype"),
        (dict(dtype_source="file"), ValueError, "dtype_source is unknown: expected.*'saved'"),
    ],
    ids=str,
)
def test_bad_arguments(arguments, error, says, tmp_path):
    path = str(tmp_path / "layer.params")
    layer = prepared(lone)
    save_parameters(layer, path)
    with pytest.raises(error, match=says):
        load_parameters(layer, path, **arguments)
