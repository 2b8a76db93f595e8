"""Two channels in, three out: the first is the result of cell 2."""

from cell_2 import X
from cell_3 import corr2d_multi_in_out
from cell_4 import K

if __name__ == "__main__":
    print(corr2d_multi_in_out(X, K))
