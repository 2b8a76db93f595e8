"""Ways to compute the same convolution, one module each.

Every algorithm is a function `(F, x, weight, bias, geometry)`, where F is `mx.nd` or `mx.sym` as in
a `HybridBlock`, and equals the chapter's functions in value and in gradients. 'align', 'tile',
'taps' and 'pixels' run MXNet's operator on another geometry, which their module's `inner` gives,
and 'split' runs it twice; they are for some geometries only, and `unsupported` says why not for the
others. 'blocked' is 'direct' in another mode, and 'fourier' does without MXNet's operator.
"""

from importlib import import_module

NAMES = (
    "direct",
    "matmul",
    "definition",
    "align",
    "split",
    "tile",
    "taps",
    "pixels",
    "blocked",
    "fourier",
)

# Those that take x apart before any convolution of MXNet's, so that its gradient is plain.
TAKE_APART = ("matmul", "definition", "split", "pixels", "fourier")

_MODULES = {name: import_module(f"{__name__}.{name}") for name in NAMES}

ALGORITHMS = {name: getattr(module, name) for name, module in _MODULES.items()}


def unsupported(name, geometry):
    """Why the algorithm isn't for a geometry, as text, or None if it is."""
    judge = getattr(_MODULES[name], "unsupported", None)
    return judge and judge(geometry)


def inner(name, geometry):
    """The geometry that the algorithm runs MXNet's operator on in this one's place."""
    module = _MODULES[name]
    return module.inner(geometry) if hasattr(module, "inner") else geometry


def inner_size(name, geometry, size):
    """Height and width of the input that `inner` is for, from those of the whole input."""
    module = _MODULES[name]
    return module.inner_size(geometry, size) if hasattr(module, "inner_size") else size


def resolve(algorithm, geometry):
    """The function for the name `algorithm`; 'auto' is 'direct' until `rule.choose` has decided.

    A hybridized network is traced before the input channels of its layers are known; a layer that
    waits for them is traced as 'direct', which MXNet can infer the shapes of.

    Raises
    ------
    ValueError
        An algorithm that isn't for the geometry.
    """
    if algorithm == "auto" or not geometry.in_channels:
        return ALGORITHMS["direct"]
    reason = unsupported(algorithm, geometry)
    if reason:
        raise ValueError(
            f"algorithm={algorithm!r} isn't for {reason}: choose another; received {geometry}"
        )
    return ALGORITHMS[algorithm]
