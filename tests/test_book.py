"""The book's code, to the letter: in the example scripts, in the notebook and in the library.

data/chapter.txt has the cells as the book has them. Code is compared token by token; comments and
line breaks within a statement don't count. Every comparison is shown to notice a change of each
name, number and operator.
"""

import ast
import inspect
import io
import json
import keyword
import re
import tokenize
from pathlib import Path

import mxconv

import pytest

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples"
SEED = HERE.parents[1] / "shared" / "seed" / "multiple-input-and-output-channels.txt"


def read_chapter():
    """The code and the printed results in data/chapter.txt, each as {number of the cell: text}."""
    text = (HERE / "data" / "chapter.txt").read_text("utf-8")
    _, *parts = re.split(r"^(In|Out) \[(\d)\]:\n", text, flags=re.M)
    cells = {"In": {}, "Out": {}}
    for kind, n, part in zip(parts[0::3], parts[1::3], parts[2::3]):
        cells[kind][int(n)] = part.strip("\n")
    return cells["In"], cells["Out"]


CODE, PRINTED = read_chapter()
# The one change to the book's code: mxconv has the place of the book's own package.
OURS = {
    n: code.replace("import gluonbook as gb", "import mxconv as gb") for n, code in CODE.items()
}
FUNCTIONS = {1: "corr2d_multi_in", 3: "corr2d_multi_in_out", 6: "corr2d_multi_in_out_1x1"}
CELL = pytest.mark.parametrize("n", range(1, 8))


def python_at_the_start(text):
    """The longest run of the text's first lines that is Python, and what follows it."""
    lines = text.splitlines(keepends=True)
    for end in range(len(lines), 0, -1):
        try:
            ast.parse("".join(lines[:end]))
        except SyntaxError:
            continue
        return "".join(lines[:end]).strip("\n"), "".join(lines[end:])


def test_the_cells_are_those_of_the_chapters_text():
    """That text lost the last line of cell 4 and the result of cell 7."""
    if not SEED.exists():
        pytest.skip("the chapter's whole text isn't part of mxconv, nor in ../shared/seed here")
    _, *cells = re.split(r"^In \[\d\]:\n", SEED.read_text("utf-8"), flags=re.M)
    assert len(cells) == len(CODE) == 7
    for n, cell in enumerate(cells, 1):
        code, rest = python_at_the_start(cell)
        if n == 4:
            assert code == CODE[4].replace("K.shape", PRINTED[4])
        else:
            assert code == CODE[n]
        if n in (2, 5):
            assert rest.startswith(PRINTED[n] + "\n\n")
    assert set(PRINTED) == {2, 4, 5, 7} and PRINTED[7] == "True"


# How code is compared


def tokens(source):
    """The tokens of some code, without comments and without line breaks within a statement."""
    left_out = (tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER)
    blank = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)  # how blank doesn't matter
    return [
        tokenize.tok_name[token.type] if token.type in blank else token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in left_out
    ]


IMPORT_OF_A_CELL = re.compile(r"^from cell_\d import \w+(, \w+)*\n", re.M)


def as_cell(script):
    """The code of a script as a cell of a notebook: what it prints is a bare last expression.

    A notebook's cells share one namespace, and have neither docstrings nor imports of each other.
    """
    script = re.sub(r'\A"""[^"]*"""\n', "", script)
    script = IMPORT_OF_A_CELL.sub("", script)
    return re.sub(
        r'^if __name__ == "__main__":\n    print\((.*)\)\n\Z', r"\1\n", script, flags=re.M
    )


def function(name, source):
    """The code of a function in some source, without decorators, annotations and docstring."""
    (node,) = (
        n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and n.name == name
    )
    first, *others = node.body
    body = others[0] if ast.get_docstring(node) else first
    lines = source.splitlines(keepends=True)
    return header(node) + "".join(lines[body.lineno - 1 : node.end_lineno])


def header(node):
    """The line that begins a function, without the annotations that the library adds."""
    unlike_the_books = node.args.posonlyargs + node.args.kwonlyargs + node.args.defaults
    assert not (unlike_the_books or node.args.vararg or node.args.kwarg)
    return f"def {node.name}({', '.join(arg.arg for arg in node.args.args)}):\n"


def read_script(n):
    return (EXAMPLES / f"cell_{n}.py").read_text("utf-8")


def read_notebook():
    """The code of the notebook's cells that are the book's."""
    cells = json.loads((EXAMPLES / "channels.ipynb").read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if re.fullmatch(r"cell-\d", cell["id"])]


def is_the_books_cell(n, code):
    return tokens(code) == tokens(OURS[n])


def is_the_books_function(name, source):
    """Within the library, its own `corr2d` needs no `gb.` in front."""
    (n,) = (n for n in FUNCTIONS if FUNCTIONS[n] == name)
    book = function(name, CODE[n].replace("gb.corr2d(", "corr2d("))
    return tokens(function(name, source)) == tokens(book)


# What is compared


@CELL
def test_a_script_is_the_books_cell(n):
    assert is_the_books_cell(n, as_cell(read_script(n)))


def test_a_script_imports_from_earlier_cells_only():
    for n in CODE:
        assert all(int(m) < n for m in re.findall(r"\bcell_(\d)", read_script(n)))


@CELL
def test_the_notebooks_cell_is_the_books(n):
    assert len(read_notebook()) == 7
    assert is_the_books_cell(n, read_notebook()[n - 1])


@pytest.mark.parametrize("name", FUNCTIONS.values())
def test_a_function_of_the_library_is_the_books(name):
    assert is_the_books_function(name, inspect.getsource(getattr(mxconv, name)))


# That the comparisons can fail

OPERATORS = {"+": "-", "-": "+", "*": "**", "<": ">"}


def with_a_token_changed(source):
    """The source with another name, number or operator in one place, for every such place."""
    lines = source.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
            new = "other"
        elif token.type == tokenize.NUMBER:
            new = "1" + token.string
        else:
            new = OPERATORS.get(token.string)
        if new:
            row, start, end = token.start[0] - 1, token.start[1], token.end[1]
            line = lines[row][:start] + new + lines[row][end:]
            yield "".join([*lines[:row], line, *lines[row + 1 :]])


@CELL
def test_a_changed_token_of_a_script_is_noticed(n):
    script = read_script(n)
    imports = "".join(match.group() for match in IMPORT_OF_A_CELL.finditer(script))
    code = script.replace(imports, "")
    changed = list(with_a_token_changed(code))
    assert len(changed) > 2
    assert not any(is_the_books_cell(n, as_cell(script)) for script in changed)


@CELL
def test_a_changed_token_of_the_notebook_is_noticed(n):
    changed = list(with_a_token_changed(read_notebook()[n - 1]))
    assert len(changed) > 2
    assert not any(is_the_books_cell(n, code) for code in changed)


@pytest.mark.parametrize("name", FUNCTIONS.values())
def test_a_changed_token_of_a_function_is_noticed(name):
    code = function(name, inspect.getsource(getattr(mxconv, name)))
    body = code[code.index("\n") + 1 :]
    changed = [code[: code.index("\n") + 1] + body for body in with_a_token_changed(body)]
    assert len(changed) > 2
    assert not any(is_the_books_function(name, source) for source in changed)


@pytest.mark.parametrize(
    "n, old, new",
    [
        (1, "[gb.corr2d(x, k) for x, k in zip(X, K)]", "(gb.corr2d(x, k) for x, k in zip(X, K))"),
        (2, "print(corr2d_multi_in(X, K))", "print(corr2d_multi_in(X, K).asnumpy())"),
        (2, "print(corr2d_multi_in(X, K))", "corr2d_multi_in(X, K)"),
        (4, 'if __name__ == "__main__":\n    print(K.shape)\n', ""),
        (4, "from cell_2 import K", "from cell_2 import X as K"),
        (6, "    return Y.reshape", "    Y = Y + 0\n    return Y.reshape"),
        (7, "K = nd.random", "nd.random.seed(1)\nK = nd.random"),
        (7, "Y1 - Y2).norm()", "Y1 - Y2).abs().norm()"),
    ],
)
def test_other_changes_of_a_script_are_noticed(n, old, new):
    script = read_script(n)
    assert old in script
    assert not is_the_books_cell(n, as_cell(script.replace(old, new)))


# What the book's code does


def display(code, namespace):
    """Run a cell in a namespace; what a notebook displays of its last expression, as text."""
    body = ast.parse(code).body
    last = ast.Expression(body.pop().value) if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, type_ignores=[]), "cell", "exec"), namespace)
    return repr(eval(compile(last, "cell", "eval"), namespace)).strip("\n") if last else ""


@pytest.mark.parametrize("name", ["corr2d", "corr2d_loops"])
def test_the_books_cells_display_what_the_book_prints(name):
    """In one namespace, in their order, with either form of the function that the book imports."""
    namespace = {}
    for n, code in OURS.items():
        displayed = display(code.replace("gb.corr2d(", f"gb.{name}("), namespace)
        assert displayed == PRINTED.get(n, "")
    assert n == 7


@CELL
def test_what_a_script_is_expected_to_print_is_what_the_book_prints(n):
    """And test_scripts.py compares what the scripts print with it."""
    expected = (EXAMPLES / "expected" / f"cell_{n}.txt").read_text("utf-8")
    assert expected.strip("\n") == PRINTED.get(n, "")
