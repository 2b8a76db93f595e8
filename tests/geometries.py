"""Geometries of every kind, and which of them an algorithm supports.

Tests that run every algorithm take their cases from here, so that a new one is tested without being
named: only if it supports none of these does it need one more.
"""

from mxconv import ConvGeometry
from mxconv.algorithms import unsupported

GEOMETRIES = [  # channels, kernel, strides, padding, dilation, groups, in_channels
    ConvGeometry(1, 1, in_channels=1),
    ConvGeometry(3, 2, in_channels=2),
    ConvGeometry(2, 1, 2, in_channels=3),
    ConvGeometry(2, 1, 1, (1, 2), in_channels=3),
    ConvGeometry(4, 1, (2, 3), 1, 1, 2, in_channels=2),
    ConvGeometry(4, (3, 2), (1, 2), (2, 0), in_channels=3),
    ConvGeometry(2, 3, 2, 1, 2, in_channels=2),
    ConvGeometry(2, (2, 3), 3, 2, (3, 1), in_channels=2),
    ConvGeometry(4, 3, 1, 1, 1, 2, in_channels=6),
    ConvGeometry(6, 3, 2, 1, (1, 2), 3, in_channels=3),
    ConvGeometry(4, (1, 5), 1, (0, 2), 1, 4, in_channels=4),
    ConvGeometry(1, (7, 8), in_channels=2),
    # What the algorithms for some geometries are made for.
    ConvGeometry(1, 3, padding=1, in_channels=1),
    ConvGeometry(17, (3, 2), (1, 2), (0, 1), in_channels=2),
    ConvGeometry(4, 3, 1, 1, (2, 1), 4, in_channels=4),
    ConvGeometry(5, 4, (2, 1), (1, 2), in_channels=3),
    ConvGeometry(16, 1, 2, in_channels=3),
    ConvGeometry(2, (2, 3), (1, 2), (1, 0), (2, 1), in_channels=1),
    ConvGeometry(2, (3, 2), 1, (2, 1), (1, 3), in_channels=4),
    ConvGeometry(9, (3, 2), (1, 2), (0, 1), 1, 9, in_channels=9),
    ConvGeometry(20, 2, 1, 1, (2, 1), 20, in_channels=20),
    # Two and three input channels, with all that a folded input can meet.
    ConvGeometry(1, 5, padding=2, in_channels=3),
    ConvGeometry(3, (3, 4), 1, (1, 5), in_channels=2),
    ConvGeometry(4, (2, 3), 1, (2, 1), (2, 3), in_channels=3),
    ConvGeometry(1, 3, 2, (1, 0), in_channels=3),
]

SMALL = [  # few elements, and as many arguments other than the defaults as the algorithms support
    ConvGeometry(2, (2, 3), (1, 2), 1, (2, 1), 2, in_channels=2),
    ConvGeometry(2, (2, 3), (1, 2), 1, (2, 1), in_channels=2),
    ConvGeometry(2, (2, 3), 1, 1, (2, 1), 2, in_channels=2),
    ConvGeometry(2, 1, (1, 2), 1, groups=2, in_channels=2),
    ConvGeometry(9, (2, 1), (1, 2), 1, (2, 1), 9, in_channels=9),
    ConvGeometry(2, 3, 1, 1, in_channels=2),
]


def supported(name, geometries=GEOMETRIES):
    """The geometries that an algorithm supports."""
    return [g for g in geometries if not unsupported(name, g)]


def small(name):
    """A geometry for an algorithm of which numbers can be computed one by one."""
    return supported(name, SMALL)[0]


def is_depthwise_only(name):
    """Whether an algorithm supports nothing but depthwise convolutions."""
    return all(g.depthwise for g in supported(name))
