"""Several input channels: one cross-correlation per channel, then their sum."""

from mxconv import corr2d_multi_in  # noqa: F401  (mxconv/reference.py has its one line)
