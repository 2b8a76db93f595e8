"""Makes `python -m examples.cell_2` find the modules that it imports by their plain names."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
