"""Two channels in, one out: the numbers of the chapter's figure, 56 first."""

from cell_1 import corr2d_multi_in, nd

X = nd.array([[[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[1, 2, 3], [4, 5, 6], [7, 8, 9]]])
K = nd.array([[[0, 1], [2, 3]], [[1, 2], [3, 4]]])

if __name__ == "__main__":
    print(corr2d_multi_in(X, K))
