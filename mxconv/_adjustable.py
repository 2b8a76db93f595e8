"""What can be changed about a layer: its geometry and its algorithm.

How the layer computes with them is in layer.py.
"""

from dataclasses import replace
from typing import Any, Mapping, MutableMapping, NamedTuple, Optional, Tuple, Union
from weakref import WeakKeyDictionary

from mxnet import Context
from mxnet.gluon import HybridBlock, Parameter, nn

from . import _gluon, _graphs
from .algorithms import checked
from .geometry import OP_ATTR_NAMES, ConvGeometry, Padding, Pads, Pair, Size
from .selection import apply
from .selection.rules import predict

# The operator's arguments that can change while the weight stays.
RESHAPED = tuple(OP_ATTR_NAMES[name] for name in ("strides", "padding", "dilation"))

# The attributes that an nn.Conv2D doesn't have: those always set, and those set when needed.
OWN = ("_geometry", "_algorithm", "_known_arguments", "_holders")
CACHES = ("_last_checked", "_auto_choice", "_after_concat", "native_only")


class AutoChoice(NamedTuple):
    """What 'auto' runs, and the dtype and the kind of device that it was chosen for."""

    algorithm: str = "native"
    chosen_for: Optional[Tuple[Any, str]] = None


class AdjustableConv2D(nn.Conv2D):
    """An `nn.Conv2D` with a geometry and an algorithm, both of which can be changed.

    Its constructor is that of the derived class, `MultiChannelConv2D`, which calls `_set_up`.
    """

    # What a call found out, so that the next one needn't.
    _last_checked: Tuple[Any, Tuple[Any, ...]] = (None, ())  # the weight's arrays; x's properties
    _auto_choice = AutoChoice()
    _after_concat: Tuple[Any, bool] = (None, False)  # the last recorded x's shape; if x is copied

    native_only = False  # while being traced for a file or a count, as MXNet's operator

    @classmethod
    def adopt(cls, conv: nn.Conv2D, geometry: ConvGeometry, algorithm: str) -> None:
        """Turn an `nn.Conv2D` with this geometry into a layer of this class, in place."""
        conv.__class__ = cls
        conv._set_up(geometry, algorithm)

    def release(self) -> None:
        """Turn back into an `nn.Conv2D`, which must be able to compute the same; see `adopt`."""
        for name in set(vars(self)).intersection((*OWN, *CACHES)):
            del self.__dict__[name]
        self.__class__ = nn.Conv2D

    def _set_up(self, geometry: ConvGeometry, algorithm: str) -> None:
        """Set the attributes that an `nn.Conv2D` doesn't have."""
        self._geometry = geometry
        self._algorithm = algorithm
        self._known_arguments = dict(_gluon.operator_arguments(self))  # to notice edits of them
        self._holders: MutableMapping[HybridBlock, _graphs.Call] = WeakKeyDictionary()

    @property
    def algorithm(self) -> str:
        """The algorithm asked for, 'auto' or a name; it can be set."""
        return self._algorithm

    @algorithm.setter
    def algorithm(self, name: str) -> None:
        apply.assign({self: name})

    @property
    def chosen_algorithm(self) -> str:
        """The algorithm that runs: the one asked for or, for 'auto', the one the rule has chosen.

        The rule (`mxconv.selection.rules`) needs the input's size. So it chooses at the layer's
        first call with an array, and again when the dtype or the kind of device changes. Until
        then, 'native' runs. Layers inside a hybridized network see no arrays: call the network
        once before `hybridize()`, or call `mxconv.choose_algorithms(net, input_shape)` at any time.
        """
        if self.native_only:
            return "native"
        return self._auto_choice.algorithm if self._algorithm == "auto" else self._algorithm

    @property
    def geometry(self) -> ConvGeometry:
        """The layer's `ConvGeometry`, with the input channels of its weight once it has them."""
        if _gluon.operator_arguments(self) != self._known_arguments:
            self._accept_edited_arguments()
        if not self._geometry.in_channels:
            c_i = in_channels_of(self._geometry, self.weight)
            if c_i:
                self._geometry = self._geometry.with_in_channels(c_i)
        return self._geometry

    @property
    def strides(self) -> Pair:
        """(rows, columns) from one output's window to the next; set an int or a pair."""
        return self.geometry.strides

    @strides.setter
    def strides(self, value: Size) -> None:
        apply.reshape({self: self.changed(strides=value)})

    @property
    def padding(self) -> Union[Pair, Pads]:
        """Rows and columns added around the input; set anything that the constructor accepts.

        'same' is computed for the current dilation.
        """
        return self.geometry.padding

    @padding.setter
    def padding(self, value: Padding) -> None:
        apply.reshape({self: self.changed(padding=value)})

    @property
    def dilation(self) -> Pair:
        """(rows, columns) from one element of the kernel to the next; set an int or a pair."""
        return self.geometry.dilation

    @dilation.setter
    def dilation(self, value: Size) -> None:
        apply.reshape({self: self.changed(dilation=value)})

    def changed(self, **fields: Any) -> ConvGeometry:
        """Return the layer's geometry with other strides, padding or dilation.

        Raises
        ------
        TypeError, ValueError
            As in the constructor; also ValueError if the layer's algorithm doesn't support it.
        """
        geometry = replace(self.geometry, **fields)
        checked(self._algorithm, geometry)
        return geometry

    def choose_algorithm(self, input_shape: Tuple[int, ...], dtype: Any, context: Context) -> bool:
        """Let the rule choose if the layer has 'auto'.

        This leaves graphs as they are; `mxconv.choose_algorithms` also traces them again.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of the layer's input, including the batch.
        dtype : dtype
        context : Context

        Returns
        -------
        bool
            Whether the algorithm has changed.
        """
        if self._algorithm != "auto":
            return False
        before = self._auto_choice.algorithm
        name = self.predict_algorithm(input_shape, dtype, context)
        self._auto_choice = AutoChoice(name, (dtype, context.device_type))
        return name != before

    def predict_algorithm(self, input_shape: Tuple[int, ...], dtype: Any, context: Context) -> str:
        """Return what `choose_algorithm` would make the layer run; nothing is set."""
        if self._algorithm != "auto":
            return self._algorithm
        geometry = self.geometry
        return predict(geometry.normalized, geometry.normalized_shape(input_shape), dtype, context)

    # For `selection.apply`, which traces graphs again after a change.

    @property
    def holders(self) -> Mapping[HybridBlock, _graphs.Call]:
        """The blocks whose graphs contain the layer, each with the call it was traced for."""
        return self._holders

    def ask_for(self, algorithm: str) -> None:
        """Set the algorithm, which has been checked."""
        self._algorithm = algorithm
        self._forget_inputs()

    def take_geometry(self, geometry: ConvGeometry) -> None:
        """Set the geometry, which `changed` has returned."""
        self._geometry = geometry
        arguments = _gluon.operator_arguments(self)
        arguments.update({name: geometry.op_attrs[name] for name in RESHAPED})
        self._known_arguments = dict(arguments)
        self._forget_inputs()

    def _accept_edited_arguments(self) -> None:
        """Take over edits of the operator's arguments, which published networks make."""
        known, arguments = self._geometry, _gluon.operator_arguments(self)
        geometry = ConvGeometry.from_op_attrs(
            arguments, in_channels=known.in_channels, padding_mode=known.padding_mode
        )
        weight = (geometry.channels, geometry.kernel_size, geometry.groups, geometry.layout)
        if weight != (known.channels, known.kernel_size, known.groups, known.layout):
            raise ValueError(
                f"{self.name}._kwargs no longer fits the weight: expected the channels, kernel, "
                f"groups and layout of {known}, received {arguments}"
            )
        checked(self._algorithm, geometry)
        self.take_geometry(geometry)
        _graphs.drop_graphs([self, *self._holders])

    def _forget_inputs(self) -> None:
        """Forget the last input, so that the next one is checked and 'auto' chooses for it."""
        for name in ("_last_checked", "_auto_choice"):
            self.__dict__.pop(name, None)


def in_channels_of(geometry: ConvGeometry, weight: Parameter) -> int:
    """Return the input channels of a weight, or 0 while unknown, which is -1 in NumPy mode."""
    return max(0, weight.shape[geometry.layout.index("C")]) * geometry.groups
