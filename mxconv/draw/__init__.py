"""The chapter's figures for any small arrays, animations, and a page that takes every sum apart.

`multi_in` and `one_by_one` need matplotlib, the extra `mxconv[plot]`, and so do an animation's GIF
and MP4; `page`, and animations as SVG or HTML, need nothing else.
"""

from .animation import Animation, animate
from .figures import multi_in, one_by_one
from .webpage import Page, page

__all__ = ["Animation", "Page", "animate", "multi_in", "one_by_one", "page"]
