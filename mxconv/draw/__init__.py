"""The chapter's figures, and a page on which every sum can be clicked, for any small arrays.

`multi_in` and `one_by_one` need matplotlib, the extra `mxconv[plot]`; `page` needs nothing more.
"""

from .figures import multi_in, one_by_one
from .webpage import page

__all__ = ["multi_in", "one_by_one", "page"]
