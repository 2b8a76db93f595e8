"""Package metadata. The bounds of mxnet, numpy and pytest stand in requirements.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def read(name):
    return (HERE / name).read_text(encoding="utf-8")


lines = [line for line in read("requirements.txt").splitlines() if not line.startswith("#")]
pytest = [line for line in lines if line.startswith("pytest")]
runtime = [line for line in lines if line not in pytest]
numpy = [line for line in lines if line.startswith("numpy")]

# The upper bounds are the newest releases that run on numpy 1.23, so that pip need not search.
plot = ["matplotlib>=3.5,<3.11"]
examples = plot + ["scikit-learn>=1.0,<1.8", "scipy<1.16", "pillow>=9", "tqdm>=4.60"]
gluoncv = plot + ["gluoncv==0.10.5.post0", "scipy<1.16", "pandas<2.4", "opencv-python<4.12"]
onnx = ["onnx>=1.13,<1.19", "onnxruntime>=1.18,<1.19"]
test_plain = (
    examples
    + pytest
    + ["nbformat>=5", "nbclient>=0.6", "ipykernel>=6", "hypothesis>=6", "selenium>=4.10"]
    + ["setuptools>=40.8", "wheel"]  # the tests of setup.py run it
)
test = test_plain + gluoncv + onnx
lint = ["ruff>=0.12,<0.18", "mypy>=1.8", "pytest-cov>=6.3; python_version>='3.9'"]

setup(
    name="mxconv",
    version=re.search(r'^__version__ = "(.+)"', read("mxconv/__init__.py"), re.MULTILINE)[1],
    description="Multi-channel convolution for MXNet Gluon that never hides its definition",
    long_description=read("README.md"),
    long_description_content_type="text/markdown",
    author="The mxconv authors",
    license="Apache-2.0",
    packages=find_packages(include=["mxconv*"]),
    package_data={"mxconv.draw": ["page.html"]},
    python_requires=">=3.8,<3.13",
    install_requires=runtime,
    # An extra repeats the bound on numpy: without it a later `pip install` could lift numpy to 2.
    extras_require={
        "plot": numpy + plot,
        "examples": numpy + examples,
        "gluoncv": numpy + gluoncv,
        "onnx": numpy + onnx,
        "lint": numpy + lint,
        "test": numpy + test,
        "test-plain": numpy + test_plain,  # for a NumPy older than ONNX and GluonCV want
    },
    classifiers=[
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS :: MacOS X",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        *("Programming Language :: Python :: 3.%d" % minor for minor in range(8, 13)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
