"""The project under test: its entry point, and the interpreter that runs it."""

import sys
from pathlib import Path

MAIN = str(Path(__file__).parents[2] / "main.py")
PYTHON = sys.executable
