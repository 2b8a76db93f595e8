"""Several output channels: one kernel for each, over all of the input."""

from mxconv import corr2d_multi_in_out  # noqa: F401  (mxconv/reference.py has its one line)
