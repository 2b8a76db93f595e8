"""What can be changed about a layer: its geometry and its algorithm.

How the layer computes with them is in layer.py.
"""

from dataclasses import replace
from typing import Any, Mapping, MutableMapping, NamedTuple, Optional, Tuple, Union
from weakref import WeakKeyDictionary

from mxnet import Context
from mxnet.gluon import HybridBlock, Parameter, nn

from . import _gluon, _graphs
from .algorithms import ALGORITHMS, checked
from .geometry import OP_ATTR_NAMES, ConvGeometry, Padding, Pads, Pair, Size
from .selection import apply, switch
from .selection.rules import may_gain, obstacle, predict, rule_name, verdict

# The operator's arguments that can change while the weight stays.
RESHAPED = tuple(OP_ATTR_NAMES[name] for name in ("strides", "padding", "dilation"))

# The attributes that an nn.Conv2D doesn't have: those always set, and those set when needed.
OWN = ("_geometry", "_algorithm", "_known_arguments", "_holders")
FOUND_IN_CALLS = ("_last_checked", "_recorded_like", "_chosen_in", "_after_concat")
CACHES = (*FOUND_IN_CALLS, "_auto_choice", "native_only")


class AutoChoice(NamedTuple):
    """What 'auto' runs, and why.

    Attributes
    ----------
    algorithm, in_training : str
        What runs now, and what runs from the first recorded call on.
    chosen_for : None or tuple
        The dtype, the kind of device, and the rule, which a pickle may have from another CPU.
    obstacle : None or str
        Why no rule could choose, in a few words.
    """

    algorithm: str = "native"
    in_training: str = "native"
    chosen_for: Optional[Tuple[Any, str, str]] = None
    obstacle: Optional[str] = "no input yet"


class AdjustableConv2D(nn.Conv2D):
    """An `nn.Conv2D` with a geometry and an algorithm, both of which can be changed.

    Its constructor is that of the derived class, `MultiChannelConv2D`, which calls `_set_up`.
    """

    # What a call found out, so that the next one needn't.
    # The weight's arrays; x's properties and context.
    _last_checked: Tuple[Any, Tuple[int, ...], Any] = (None, (), None)
    _recorded_like: Any = None  # `_last_checked` as it was when an input needed nothing more
    _auto_choice = AutoChoice()
    _chosen_in: Any = None  # the trace in which 'auto' chose last
    # The last recorded x's properties and the algorithm; whether x is copied.
    _after_concat: Tuple[Any, bool] = ((None, None), False)

    native_only = False  # while being traced for a file or a count, as MXNet's operator

    @classmethod
    def adopt(cls, conv: nn.Conv2D, geometry: ConvGeometry, algorithm: str) -> None:
        """Turn an `nn.Conv2D` with this geometry into a layer of this class, in place."""
        conv.__class__ = cls
        conv._set_up(geometry, algorithm)

    def release(self) -> None:
        """Turn back into an `nn.Conv2D`, which must be able to compute the same; see `adopt`."""
        switch.unregister(self)
        apply.forget(self)
        for name in set(vars(self)).intersection((*OWN, *CACHES)):
            del self.__dict__[name]
        self.__class__ = nn.Conv2D

    def _set_up(self, geometry: ConvGeometry, algorithm: str) -> None:
        """Set the attributes that an `nn.Conv2D` doesn't have."""
        self._geometry = geometry
        self._algorithm = algorithm
        self._known_arguments = dict(_gluon.operator_arguments(self))  # to notice edits of them
        self._holders: MutableMapping[HybridBlock, _graphs.Call] = WeakKeyDictionary()
        switch.register(self)

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
        first call, or when a hybridized network that contains it is called for the first time, and
        again when the dtype or the kind of device changes. Until then, 'native' runs. The first
        recorded call chooses once more, for training. To choose for another size, call
        `mxconv.choose_algorithms(net, input_shape)`.
        """
        if self.native_only:
            return "native"
        if self._algorithm != "auto":
            return self._algorithm
        return "native" if switch.is_on() else self._auto_choice.algorithm

    @property
    def chosen_because(self) -> str:
        """Why `chosen_algorithm` is what it is, in a few words."""
        if self.native_only:
            return "traced as MXNet's operator"
        if self._algorithm != "auto":
            return "requested"
        if switch.is_on():
            return "switched off by use_native or MXCONV_NATIVE"
        return self._auto_choice.obstacle or verdict(self._auto_choice.algorithm)

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

    def geometry_for(self, input_shape: Tuple[int, ...]) -> ConvGeometry:
        """Return the layer's geometry, with the input's channels if it doesn't know them yet."""
        geometry = self.geometry
        if geometry.in_channels:
            return geometry
        return geometry.with_in_channels(input_shape[geometry.layout.index("C")])

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

    def choose_algorithm(
        self,
        input_shape: Optional[Tuple[int, ...]],
        dtype: Any,
        context: Context,
        training: bool = False,
        in_graph: bool = False,
    ) -> bool:
        """Let the rule choose if the layer has 'auto'.

        This leaves graphs as they are; `mxconv.choose_algorithms` also traces them again.

        Parameters
        ----------
        input_shape : None or tuple of int
            Shape of the layer's input, including the batch. If it isn't known, 'native' runs.
        dtype : dtype
        context : Context
        training : bool
            Whether to choose for training at once, not only from the first recorded call on.
        in_graph : bool
            Whether the layer is part of the graph of a network.

        Returns
        -------
        bool
            Whether the algorithm has changed.
        """
        if self._algorithm != "auto":
            return False
        before = self.chosen_algorithm
        key, reason = (dtype, context.device_type, rule_name()), obstacle(dtype, context)
        if input_shape:
            for_inference, for_training = (
                self.predict_algorithm(input_shape, dtype, context, mode, in_graph)
                for mode in (False, True)
            )
            name = for_training if training else for_inference
            self._auto_choice = AutoChoice(name, for_training, key, reason)
        elif reason or not may_gain(self.geometry.normalized, dtype, context):
            self._auto_choice = AutoChoice(chosen_for=key, obstacle=reason)
        else:
            self._auto_choice = AutoChoice(obstacle="input shape unknown")
        return self.chosen_algorithm != before

    def has_chosen(self, dtype: Any, context: Context, in_graph: bool = False) -> bool:
        """Return whether what 'auto' chose last holds for a dtype and a device."""
        choice = self._auto_choice
        if in_graph and ALGORITHMS[choice.algorithm].eager_inference_only:
            return False
        return choice.chosen_for == (dtype, context.device_type, rule_name())

    def predict_algorithm(
        self,
        input_shape: Tuple[int, ...],
        dtype: Any,
        context: Context,
        training: bool = False,
        in_graph: bool = False,
    ) -> str:
        """Return what `choose_algorithm` would make the layer run; nothing is set."""
        if self._algorithm != "auto":
            return self._algorithm
        geometry = self.geometry_for(input_shape)
        shape = geometry.normalized_shape(input_shape)
        return predict(geometry.normalized, shape, dtype, context, training, in_graph)

    @property
    def waits_for_training(self) -> bool:
        """Whether the first recorded call changes what runs."""
        choice = self._auto_choice
        return self._algorithm == "auto" and choice.algorithm != choice.in_training

    def choose_for_training(self) -> bool:
        """Run what was chosen for training from now on; return whether the algorithm changes."""
        before = self.chosen_algorithm
        choice = self._auto_choice
        self._auto_choice = choice._replace(algorithm=choice.in_training)
        return self.chosen_algorithm != before

    # For `selection.apply`, which traces graphs again after a change.

    @property
    def holders(self) -> Mapping[HybridBlock, _graphs.Call]:
        """The blocks whose graphs contain the layer, each with the call it was traced for."""
        return self._holders

    def algorithm_changed(self) -> None:
        """Find out anew what recording requires."""
        self._recorded_like = None

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
