"""The examples print what the book prints, the runner notices if they don't, and the rest works."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mxconv
import oracle

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd
from mxnet.gluon import nn
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_digits, load_sample_image

TORCH_PYTHON = os.environ.get("TORCH_PYTHON", sys.executable)  # what examples/ call PyTorch with
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

import digits  # noqa: E402
import edges  # noqa: E402
import for_inference  # noqa: E402
import onnx_in_torch  # noqa: E402

BOOK = {
    "cell_1": "",
    "cell_2": "[[ 56.  72.]\n [104. 120.]]\n<NDArray 2x2 @cpu(0)>",
    "cell_3": "",
    "cell_4": "(3, 2, 2, 2)",
    "cell_5": "[[[ 56.  72.]\n  [104. 120.]]\n\n [[ 76. 100.]\n  [148. 172.]]\n\n"
    " [[ 96. 128.]\n  [192. 224.]]]\n<NDArray 3x2x2 @cpu(0)>",
    "cell_6": "",
    "cell_7": "True",
}


def run(script, *arguments, cwd=None):
    """Run a script in a process of its own, with the package under test."""
    environment = dict(os.environ, PYTHONPATH=str(Path(mxconv.__file__).parents[1]))
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_expected_outputs_are_those_of_the_book():
    """test_scripts.py compares them with what the cells print."""
    for cell, printed in BOOK.items():
        assert (EXAMPLES / "expected" / f"{cell}.txt").read_text().strip("\n") == printed


@pytest.mark.slow
def test_the_runner_shows_and_counts_what_it_reproduced(tmp_path):
    done = run(EXAMPLES / "run_all.py", "--only", "cell_4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\n(3, 2, 2, 2)\n" in done.stdout
    assert re.search(r"^cell_4  ok +\d+\.\d s  A kernel with three output", done.stdout, re.M)
    assert done.stdout.endswith("\nbook: 1 of 1 reproduced\n")
    assert "problems" not in done.stdout


@pytest.mark.slow
def test_the_runner_names_the_files_that_this_run_wrote(copy):
    run_all = copy({})
    output = run_all.parent / "output"
    output.mkdir()
    old = output / "old.png"
    old.touch()
    os.utime(str(old), (0, 0))
    done = run(run_all, "--only", "page")
    assert done.stdout.endswith(
        f"\nwrote into {output}: page.html\nproblems, figures and applications: 1 of 1 checked\n"
    )


@pytest.fixture
def copy(tmp_path):
    """A function that copies the examples, changes the text of some, and returns the runner."""

    def change(changes):
        examples = tmp_path / "examples"
        shutil.copytree(EXAMPLES, examples, ignore=shutil.ignore_patterns("output", "__pycache__"))
        for file, (old, new) in changes.items():
            text = (examples / file).read_text()
            assert old in text
            (examples / file).write_text(text.replace(old, new))
        return examples / "run_all.py"

    return change


@pytest.mark.slow
def test_the_runner_notices_what_goes_wrong(copy):
    run_all = copy(
        {
            "cell_3.py": ("from cell_1 import", "from cell_1 import no_such_function,"),
            "expected/cell_4.txt": ("3,", "4,"),
            "digits.py": ("EPOCHS = 20", "EPOCHS = 1"),
        }
    )
    done = run(run_all, "--only", "cell_3", "cell_4", "digits", "cell_1")
    assert done.returncode == 1
    assert "\n--- the book\n+++ cell_4.py\n" in done.stdout
    assert "\n-(4, 2, 2, 2)\n+(3, 2, 2, 2)\n" in done.stdout
    assert "cannot import name 'no_such_function'" in done.stderr
    assert "digits: test accuracy" in done.stderr
    results = re.findall(r"^(\w+) +(\S.*?) +\d+\.\d s  ", done.stdout, re.M)
    assert results == [
        ("cell_3", "exit status 1"),
        ("cell_4", "differs from the book"),
        ("digits", "exit status 1"),
        ("cell_1", "ok"),
    ]
    assert done.stdout.endswith("\nbook: 1 of 3 reproduced\n")


def test_the_runner_stops_a_script_that_takes_too_long(copy):
    done = run(copy({"run_all.py": ("LIMIT = 300", "LIMIT = 0.01")}), "--only", "cell_4", "edges")
    assert done.returncode == 1
    assert "\ncell_4  took more than 0.01 s " in done.stdout
    assert "\nedges   took more than 0.01 s " in done.stdout
    assert done.stdout.endswith("\nbook: 0 of 1 reproduced\n")


@pytest.fixture(scope="module")
def filtered():
    """The photograph and the layer's output."""
    X = edges.photograph()
    return X, edges.filter_layer()(X.expand_dims(0))[0]


def test_edges_are_those_of_float64(filtered):
    photograph = load_sample_image("china.jpg") / 255
    gray = photograph.mean(axis=2)
    expected = np.stack(
        [
            ndimage.sobel(gray, axis=1, mode="constant"),
            ndimage.sobel(gray, axis=0, mode="constant"),
            gray - ndimage.laplace(gray, mode="constant"),
        ]
    )
    magnitude = np.abs(edges.kernel().asnumpy()).sum(axis=(1, 2, 3), keepdims=True)[0]
    X, Y = filtered
    np.testing.assert_array_equal(X.asnumpy(), photograph.transpose(2, 0, 1).astype(np.float32))
    oracle.assert_within(Y, expected, magnitude, terms=30)  # 27, plus rounding X and the kernel


def test_edges_check_passes_and_can_fail(filtered):
    X, Y = filtered
    difference, ratio = edges.check(X, Y)
    assert difference < 1e-5 and ratio <= 1
    wrong = Y.copy()
    wrong[2, 200, 250] += 1e-4
    assert edges.check(X, wrong)[1] > 1


def test_edges_draws_the_photograph_and_three_gray_channels(filtered, tmp_path):
    path = tmp_path / "output" / "edges.png"
    edges.draw(*filtered, path)
    with Image.open(path) as image:
        assert (image.format, image.size) == ("PNG", (1300, 940))
        pixels = np.asarray(image.convert("RGB"), np.float64)
    top, bottom = np.split(pixels, 2)
    panels = [half for row in (top, bottom) for half in np.split(row, 2, axis=1)]
    color = [np.ptp(panel, axis=2).mean() for panel in panels]
    assert color[0] > 10 and color[1:] == [0, 0, 0]
    assert all(panel.std() > 20 for panel in panels)


@pytest.mark.slow
def test_digits_reaches_its_accuracy_with_the_losses_of_the_stock_layer(tmp_path):
    done = run(EXAMPLES / "digits.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    losses = np.array(re.findall(r"^epoch +\d+ +(\S+) +(\S+)$", done.stdout, re.M), float)
    assert losses.shape == (20, 2)
    assert losses[0, 0] > 0.5 and losses[-1, 0] < 0.01
    np.testing.assert_allclose(losses[:, 0], losses[:, 1], rtol=1e-4)
    assert float(re.search(r"^test accuracy (\S+)$", done.stdout, re.M)[1]) > 0.97
    assert "\r" not in done.stderr  # no progress bar without a terminal


@pytest.mark.slow
def test_digits_trains_for_the_epochs_asked_for():
    """Its accuracy is then too low to be checked, but the losses are compared."""
    done = run(EXAMPLES / "digits.py", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^epoch +(\d+)", done.stdout, re.M) == ["1", "2"]
    assert float(re.search(r"^test accuracy (\S+)$", done.stdout, re.M)[1]) < digits.ACCURACY


def test_digits_splits_every_digit_in_the_same_ratio():
    images, labels = load_digits(return_X_y=True)
    (X, y), (X_test, y_test) = digits.load()
    assert X.shape == (1347, 1, 8, 8) and X_test.shape == (450, 1, 8, 8)
    kept = np.concatenate([X.asnumpy(), X_test.asnumpy()]).reshape(-1, 64) * 16
    assert sorted(map(tuple, kept)) == sorted(map(tuple, images))
    share = np.bincount(y_test.asnumpy().astype(int)) / np.bincount(labels)
    assert y.size + y_test.size == 1797 and np.abs(share - 0.25).max() < 0.01


@pytest.mark.parametrize("algorithm", ["native", "im2col"])
def test_digits_learns_the_same_with_every_algorithm(algorithm):
    def conv(*args, **kwargs):
        return mxconv.MultiChannelConv2D(*args, algorithm=algorithm, **kwargs)

    data, test = digits.load()
    nets = digits.lenet(conv), digits.lenet(nn.Conv2D)
    losses = [digits.train(net, data, epochs=2) for net in nets]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    shares = [digits.accuracy(net, test) for net in nets]
    assert shares[0] == pytest.approx(shares[1], abs=0.005) and shares[0] > 0.8


@pytest.mark.parametrize(
    "losses, share, said",
    [
        ([1.0, 0.1], 0.98, None),
        ([1.0, 0.1 * (1 + 1e-6)], 0.98, None),
        ([1.0, 0.1 * (1 + 2e-4)], 0.98, "losses differ"),
        ([1.0, float("nan")], 0.98, "losses differ"),
        ([1.0, 0.1], 0.97, "accuracy 0.9700, expected more than 0.97"),
    ],
)
def test_digits_says_what_is_wrong(losses, share, said):
    verdict = digits.verdict(losses, [1.0, 0.1], share)
    assert verdict is None if said is None else said in verdict


def small_net(seed):
    """A convolution with a BatchNorm and a ReLU."""
    mx.random.seed(seed)
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3, in_channels=1), nn.BatchNorm(in_channels=4), nn.Activation("relu"))
    net.initialize(mx.init.Xavier())
    return net


def test_for_inference_compares_a_network_before_after_and_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(for_inference, "OUTPUT", tmp_path)
    net, x = small_net(0), nd.random.normal(shape=(1, 1, 8, 8))
    result = for_inference.compare("Small", net, x, 0.001)
    assert result.problem is None and result.before.shape == result.after.shape == (1, 4, 6, 6)
    assert result.report in capsys.readouterr().out
    assert result.report.startswith("Small\n") and "scales and shifts folded: 1" in result.report
    assert {path.name for path in tmp_path.iterdir()} == {
        f"small-{end}" for end in ("symbol.json", "0000.params", "x.npy", "y.npy")
    }


def test_for_inference_notices_another_network(tmp_path, monkeypatch):
    monkeypatch.setattr(for_inference, "OUTPUT", tmp_path)
    monkeypatch.setattr(
        for_inference,
        "for_inference",
        lambda net, x, **options: mxconv.for_inference(small_net(1), x, **options),
    )
    result = for_inference.compare("Small", small_net(0), nd.ones((1, 1, 8, 8)), 0.001)
    assert result.problem.startswith("for_inference: Small differs by (")


def test_for_inference_renews_the_reports_on_a_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A\n\n<!-- report -->\n\n    old\n\n<!-- end -->\n\nB\n")
    for_inference.put_on_page(page, ["a\nb", "c"])
    expected = "# A\n\n<!-- report -->\n\n    a\n    b\n\n    c\n\n<!-- end -->\n\nB\n"
    assert page.read_text() == expected


@pytest.mark.slow
def test_for_inference_finds_the_flower_before_and_after():
    done = run(EXAMPLES / "for_inference.py")
    assert done.returncode == 0, done.stderr
    (shares,) = re.findall(r"^pixels told rightly: (\S+) before, (\S+) after$", done.stdout, re.M)
    assert min(map(float, shares)) > for_inference.MIN_ACCURACY
    with Image.open(for_inference.OUTPUT / "for_inference.png") as image:
        pixels = np.asarray(image.convert("L"), np.float64)
    _, bottom = np.split(pixels, 2)
    before, after = (half > 128 for half in np.split(bottom[30:], 2, axis=1))  # without titles
    assert 0.1 < before.mean() < 0.4 and abs(before.mean() - after.mean()) < 0.005


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """The beginning of the names of files that leave_mxnet.py has written, and what it printed."""
    pytest.importorskip("onnxruntime", reason="leave_mxnet.py needs the extra mxconv[onnx]")
    done = run(EXAMPLES / "leave_mxnet.py", "--steps", "2", "--torch-python", TORCH_PYTHON)
    prefix = tmp_path_factory.mktemp("left") / "leave_mxnet"
    for end in (".onnx", ".npz"):
        shutil.copy(f"{for_inference.OUTPUT / prefix.name}{end}", f"{prefix}{end}")
    return prefix, done


@pytest.fixture
def torch_files(left):
    """The same, where PyTorch reads them."""
    if TORCH_PYTHON == sys.executable and importlib.util.find_spec("onnx2torch") is None:
        pytest.skip("needs the extra mxconv[torch]; or TORCH_PYTHON may name a Python that has it")
    return left


@pytest.mark.slow
def test_leave_mxnet_compares_with_onnxruntime(left):
    _, done = left
    assert done.returncode == 0, done.stderr
    (off,) = re.findall(r"^in onnxruntime: largest difference (\S+) of", done.stdout, re.M)
    assert float(off) < 1e-5
    assert "in PyTorch" in done.stdout


@pytest.mark.slow
def test_leave_mxnet_says_that_pytorch_is_missing():
    pytest.importorskip("onnxruntime", reason="leave_mxnet.py needs the extra mxconv[onnx]")
    python = shutil.which("false")
    done = run(EXAMPLES / "leave_mxnet.py", "--steps", "1", "--torch-python", python)
    assert done.returncode == 0, done.stderr
    assert f"not tried in PyTorch, as {python} has no onnx2torch: run" in done.stdout


@pytest.mark.slow
def test_leave_mxnet_compares_with_pytorch(torch_files):
    _, done = torch_files
    assert "56 arrays of weights: largest difference 0.0e+00\n" in done.stdout
    assert "gradients reach 36 of 36 parameters\n" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet0_conv3_weight", "unet0_batchnorm5_running_var", "output"])
def test_onnx_in_torch_notices_another_array(torch_files, name, tmp_path):
    prefix, _ = torch_files
    with np.load(f"{prefix}.npz") as file:
        arrays = dict(file)
    arrays[name].flat[0] += 1e-3 * np.abs(arrays[name]).max()
    np.savez(tmp_path / "other.npz", **arrays)
    shutil.copy(f"{prefix}.onnx", tmp_path / "other.onnx")
    command = [TORCH_PYTHON, str(EXAMPLES / "onnx_in_torch.py"), str(tmp_path / "other")]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and f"{name} differs by 1.0e-03" in done.stderr


@pytest.mark.parametrize(
    "actual, expected",
    [([2.0, 1.0], 0), ([2.0, 1.5], 0.25), ([2.0], np.inf), ([2.0, np.nan], np.nan)],
)
def test_the_difference_of_arrays(actual, expected):
    off = onnx_in_torch.difference(np.array(actual), np.array([2.0, 1.0]))
    np.testing.assert_equal(off, expected)
