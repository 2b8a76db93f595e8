"""The chapter's figures for any small arrays, and a page that spells out every sum.

`multi_in` and `one_by_one` need matplotlib, the extra `mxconv[plot]`; `page` needs nothing else.
"""

from .figures import multi_in, one_by_one
from .webpage import page

__all__ = ["multi_in", "one_by_one", "page"]
