"""PyTorch, in a process of its own that runs another Python, where it is installed."""

import json
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Peer:
    """A script of this folder, run by a Python with torch: it answers questions, each in a line.

    Its first line is torch's version.
    """

    def __init__(self, python, script, packages="torch"):
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.packages = packages
        self.process = subprocess.Popen([python, str(HERE / script)], **pipes)
        self.version = self._answer()

    def ask(self, **question):
        """The answer to a question; both are anything that JSON can hold."""
        print(json.dumps(question), file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} has ended: is {self.packages} installed there?")
        return json.loads(line)
