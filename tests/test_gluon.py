"""What MXNet keeps private is used in one module, `mxconv._gluon`, and nowhere else."""

import ast
from pathlib import Path

import mxconv

import mxnet as mx
import pytest
from mxnet import gluon, init, nd, sym
from mxnet.gluon import nn

PACKAGE = Path(mxconv.__file__).parent
EVERY_MODULE = sorted(PACKAGE.rglob("*.py"))
THE_ONE = PACKAGE / "_gluon.py"

# One of each kind of object that mxconv has to do with.
OBJECTS = [
    nn.Conv2D(1, 1),
    nn.HybridSequential(),
    nn.Activation("relu"),
    gluon.Parameter("x"),
    gluon.ParameterDict(),
    init.Initializer(),
    nd.ones(1),
    mx.np.ones(1),
    sym.var("x"),
    mx.cpu(),
]


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


MXNETS = {name for thing in OBJECTS for name in dir(thing) if is_private(name)}


def defined_in(tree):
    """The private names that a module defines: functions, classes, and whatever it assigns to."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def foreign_names(source, ours):
    """The private names that some code uses and that are MXNet's or at least not in `ours`.

    A name of MXNet's counts on `self` too, and also as text or as a keyword, since `getattr` and
    `__dict__` take these. The method that MXNet calls of an initializer may be defined.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if node.attr in MXNETS or node.attr not in ours:
                yield node.attr
        elif isinstance(node, ast.Constant) and node.value in MXNETS:
            yield node.value
        elif isinstance(node, ast.keyword) and node.arg in MXNETS:
            yield node.arg
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mxnet"):
            yield from (alias.name for alias in node.names if is_private(alias.name))


# NamedTuple has public methods with private names.
OURS = {"_replace", "_asdict", "_fields", "_make"}
OURS |= {name for path in EVERY_MODULE for name in defined_in(ast.parse(path.read_text("utf-8")))}


@pytest.mark.parametrize(
    "path",
    [path for path in EVERY_MODULE if path != THE_ONE],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_a_module_uses_nothing_private_of_mxnets(path):
    assert list(foreign_names(path.read_text("utf-8"), OURS)) == []


def test_the_one_module_uses_what_is_private_in_mxnet():
    used = set(foreign_names(THE_ONE.read_text("utf-8"), OURS))
    assert {"_kwargs", "_children", "_cached_op", "_deferred_init", "_LIB"} <= used


@pytest.mark.parametrize(
    "code, name",
    [
        ("self._kwargs['stride'] = 1", "_kwargs"),
        ("block._cached_op", "_cached_op"),
        ("net[0].weight._data", "_data"),
        ("mxnet.base._Unheard", "_Unheard"),
        ("getattr(block, '_active', False)", "_active"),
        ("state.update(_cached_graph=())", "_cached_graph"),
        ("from mxnet.gluon.block import _BlockScope", "_BlockScope"),
    ],
)
def test_each_way_to_use_a_private_name_is_noticed(code, name):
    assert list(foreign_names(code, OURS)) == [name]


def test_our_own_private_names_are_no_offense():
    assert list(foreign_names("self._geometry, layer._set_up(1), self.__dict__", OURS)) == []
