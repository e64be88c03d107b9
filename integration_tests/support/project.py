"""The project under test: its folders, its entry point, and the interpreter that runs it."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
#: Inputs as they came up in use.
FIELD_CASES = ROOT / "integration_tests" / "field_cases"
MAIN = str(ROOT / "main.py")
PYTHON = sys.executable
