"""A figure that displays itself in a notebook. Importing this module imports matplotlib."""

from typing import Any, Dict, Tuple

from matplotlib.figure import Figure

from .paint import render

CSS_DPI = 96  # the pixels of an inch in a browser


class InlineFigure(Figure):
    """A matplotlib Figure of which a notebook shows the picture, and not just the name.

    The picture is a PNG. An SVG would be part of the notebook's page, where the style that
    matplotlib writes into it holds for all of the page, and where figures share their ids.
    """

    def _repr_png_(self) -> Tuple[bytes, Dict[str, Any]]:
        """Return the PNG and, as it has more pixels than that, its size on the page."""
        width, height = (round(inches * CSS_DPI) for inches in self.get_size_inches())
        return render(self, ".png"), {"width": width, "height": height}
