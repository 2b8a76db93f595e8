"""What all pages of figures share: their files, how settings are called, and tables."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Dict, Tuple

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
KERNELS = {"avx512": "AVX-512", "avx2": "AVX2"}  # in the order of the pages
THREADS = {"one": "one core", "all": "all cores"}
ORDER = [f"{kernels}-{threads}" for kernels in KERNELS for threads in THREADS]  # names of settings
MEASURED = """\
Measured on {cpu}, {kernels} kernels, {threads}, MXNet {mxnet}, float32, on {date}."""


@dataclass
class Results:
    """Measurements with one kind of CPU kernels and one number of threads.

    A subclass has lists of rows besides, dicts with a number 'n' of images, and says with which
    titles of a row a new measurement replaces an old one.

    Attributes
    ----------
    machine : dict
        The CPU, its 'kernels' and 'threads' (names in `KERNELS` and `THREADS`), the number of
        'cores', the versions of 'mxnet' and 'torch' (or None), and the 'date'.
    """

    heading: ClassVar[str]  # of the page
    prefix: ClassVar[str]  # of the names of files
    keys: ClassVar[Dict[str, Tuple[str, ...]]]  # of each list, the titles

    machine: dict

    @classmethod
    def load(cls, path):
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    @classmethod
    def load_all(cls, folder=RESULTS):
        """Those of all settings that have a file."""
        paths = [folder / f"{cls.prefix}{name}.json" for name in ORDER]
        return [cls.load(path) for path in paths if path.exists()]

    def completed(self, folder=RESULTS):
        """These measurements, and those that the file has of other groups and other networks."""
        path = folder / f"{self.name}.json"
        if not path.exists():
            return self
        rows = []
        for kind, titles in self.keys.items():
            own, found = getattr(self, kind), getattr(self.load(path), kind)
            renewed = {tuple(row[title] for title in titles) for row in own}
            kept = [row for row in found if tuple(row[title] for title in titles) not in renewed]
            order = list(dict.fromkeys(row[titles[0]] for row in [*found, *own]))
            rows.append(sorted(kept + own, key=lambda row: (row["n"], order.index(row[titles[0]]))))
        return type(self)(self.machine, *rows)

    def save(self, folder=RESULTS):
        """Write the measurements as JSON, a row per line, and the page with all the tables."""
        folder.mkdir(exist_ok=True)
        parts = []
        for name, value in asdict(self).items():
            rows = value if isinstance(value, list) else [value]
            lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
            parts.append(f'"{name}": ' + (f"[\n{lines}\n]" if isinstance(value, list) else lines))
        text = "{\n" + ",\n".join(parts) + "\n}\n"
        (folder / f"{self.name}.json").write_text(text, encoding="utf-8")
        page = f"# {self.heading}: {self.title}\n\n{self}\n"
        (folder / f"{self.name}.md").write_text(page, encoding="utf-8")

    @property
    def name(self):
        return f"{self.prefix}{self.machine['kernels']}-{self.machine['threads']}"

    @property
    def threads(self):
        return THREADS[self.machine["threads"]]

    @property
    def title(self):
        return f"{KERNELS[self.machine['kernels']]}, {self.threads}"

    def measured(self):
        """Where and when it was measured."""
        cores = self.machine["cores"]
        threads = "one core" if self.machine["threads"] == "one" else f"all {cores} cores"
        kernels = KERNELS[self.machine["kernels"]]
        text = MEASURED.format(**{**self.machine, "threads": threads, "kernels": kernels})
        return text + f" PyTorch is {self.machine['torch']}." * bool(self.machine["torch"])


def put_between_markers(path, name, text):
    """Replace the text between the markers of this name on a page."""
    marked = re.compile(f"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    content, times = marked.subn(
        lambda marks: f"{marks[1]}\n{text}\n\n{marks[2]}", path.read_text(encoding="utf-8")
    )
    if times != 1:
        raise ValueError(f"expected one <!-- {name} --> in {path}, found {times}")
    path.write_text(content, encoding="utf-8")


def with_spread(ratio, spread):
    return f"{ratio:.2f} ± {spread:.2f}"


def markdown(titles, lines):
    """A table whose columns are right-aligned if their first entry begins with a digit."""
    numbers = [str(entry)[:1].isdigit() for entry in lines[0]] if lines else [False] * len(titles)
    rule = ["---:" if number else "---" for number in numbers]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in (titles, rule, *lines))
