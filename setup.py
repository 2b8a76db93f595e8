"""Package metadata. The bounds of mxnet, numpy and pytest stand in requirements.txt.

pyproject.toml says what builds it, and CITATION.cff where its repository is.
"""

import re
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import setuptools

HERE = Path(__file__).resolve().parent


def read(name):
    """The text of a file beside this one."""
    return (HERE / name).read_text(encoding="utf-8")


def stated(pattern, name):
    """The group of `pattern`, which starts a line of the file `name`, or None."""
    match = re.search("^" + pattern, read(name), re.MULTILINE)
    return match and match[1]


version = stated('__version__ = "(.+)"', "mxconv/__init__.py")
build = stated(r'requires = \["(.+)"\]', "pyproject.toml")
repository = stated(r"repository-code: (\S+?)/*$", "CITATION.cff")  # None while it is unknown

LINK = re.compile(
    r"""
    ```.*?``` | `[^`]*`                            # code, or else an inline link or image:
    | (!?)                                         # its "!",
    \[ ( (?: [^][] | \[[^][]*\] (?:\([^)]*\))? )* ) \]  # its text, which may hold another,
    \( ( [^)\s]+ ) \)                              # and its target
    """,
    re.DOTALL | re.VERBOSE,
)


def for_an_index(markdown):
    """The README for a package index, where its relative links and images lead nowhere.

    With the repository's address they become absolute: the file at the tag of this version.
    Without it, a link becomes its text, and an image goes.
    """

    def replace(match):
        image, text, target = match.groups()
        if target is None:  # code
            return match[0]
        text = LINK.sub(replace, text)
        if repository:
            kind = "raw" if image else "blob"
            target = urljoin(f"{repository}/{kind}/v{version}/README.md", target)
        elif not urlsplit(target).scheme:
            return "" if image else text
        return f"{image}[{text}]({target})" if image or text else ""

    return LINK.sub(replace, markdown)


lines = [line for line in read("requirements.txt").splitlines() if not line.startswith("#")]
pytest = [line for line in lines if line.startswith("pytest")]
runtime = [line for line in lines if line not in pytest]
numpy = [line for line in lines if line.startswith("numpy")]

# The upper bounds are the newest releases that run on numpy 1.23, so that pip need not search.
plot = ["matplotlib>=3.5,<3.11", "pillow>=9.1"]
video = plot + ["imageio-ffmpeg>=0.4.9"]  # holds an ffmpeg, for where there is none
examples = plot + ["scikit-learn>=1.0,<1.8", "scipy<1.16", "tqdm>=4.60"]
gluoncv = plot + ["gluoncv==0.10.5.post0", "scipy<1.16", "pandas<2.4", "opencv-python<4.12"]
onnx = ["onnx>=1.13,<1.19", "onnxruntime>=1.18,<1.19"]
notebook = plot + ["notebook>=7.3,<7.6"]  # Python 3.8 has 7.3
torch = ["torch>=2,<3", "onnx2torch>=1.5.15,<1.6"] + onnx
test_plain = (
    examples
    + video
    + pytest
    + ["nbformat>=5", "nbclient>=0.6", "ipykernel>=6", "hypothesis>=6", "selenium>=4.10"]
    + [build, "readme_renderer[md]>=43", "pyyaml>=6"]  # for the tests of the files beside this one
)
lint = ["ruff>=0.12,<0.18", "mypy>=1.8", "pytest-cov>=6.3; python_version>='3.9'"]
docs = ["sphinx>=7.1,<10", "myst-parser>=3,<6", "furo>=2024.8.6"]  # Python 3.8 has 7.1 and 3.0
docs += ["numpydoc>=1.7,<2", "latex2mathml>=3.77,<4"]
test = test_plain + gluoncv + onnx + docs + notebook

# The field of PEP 639 is known to setuptools 77 and later, of which none runs on Python 3.8.
modern = int(setuptools.__version__.split(".")[0]) >= 77

pages = {
    "Source": repository,
    "Documentation": f"{repository}/tree/v{version}/docs",
    "Changelog": f"{repository}/blob/v{version}/CHANGELOG.md",
    "Issues": f"{repository}/issues",
}

setuptools.setup(
    name="mxconv",
    version=version,
    description="Multi-channel convolution for MXNet Gluon that never hides its definition",
    long_description=for_an_index(read("README.md")),
    long_description_content_type="text/markdown",
    author="The mxconv authors",
    project_urls=pages if repository else {},
    **{"license_expression" if modern else "license": "Apache-2.0"},
    license_files=["LICENSE", "NOTICE"],
    packages=setuptools.find_packages(include=["mxconv*"]),
    package_data={"mxconv": ["py.typed"], "mxconv.draw": ["animation.html", "page/*"]},
    python_requires=">=3.8,<3.13",
    install_requires=runtime,
    # An extra repeats the bound on numpy: without it a later `pip install` could lift numpy to 2.
    extras_require={
        "plot": numpy + plot,
        "video": numpy + video,
        "examples": numpy + examples,
        "gluoncv": numpy + gluoncv,
        "notebook": numpy + notebook,
        "onnx": numpy + onnx,
        "torch": numpy + torch,
        "lint": numpy + lint,
        "docs": numpy + docs,
        "test": numpy + test,
        "test-plain": numpy + test_plain,  # for a NumPy older than ONNX and GluonCV want
    },
    keywords=[
        "convolution",
        "conv2d",
        "cross-correlation",
        "multiple input and output channels",
        "deep learning",
        "mxnet",
        "gluon",
        "d2l",
        "dive into deep learning",
        "im2col",
        "receptive field",
        "FLOPs",
        "MACs",
        "onnx",
    ],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS :: MacOS X",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(8, 13)),
        "Topic :: Education",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Processing",
        "Typing :: Typed",
    ],
)
