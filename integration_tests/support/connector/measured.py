"""A command with what it took: seconds, and the most memory it had."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1024 * 1024

# Runs a command and prints the most memory it had, in bytes, which the system counts for children that have ended.
_MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(most if sys.platform == "darwin" else most * 1024, file=sys.stderr)
sys.exit(code)
"""


@dataclass(frozen=True)
class Measured:
    code: int
    seconds: float
    megabytes: float
    #: What it printed; it may be large.
    output: Path

    @property
    def states(self) -> list[bytes]:
        """The lines of the states."""
        with self.output.open("rb") as lines:
            return [line for line in lines if b'"STATE"' in line[:40]]


def run_measured(command: list[str], content: Iterable[bytes], folder: Path) -> Measured:
    """Run a command with that input, which is not held in memory."""
    output, errors = folder / "output", folder / "errors"
    began = time.monotonic()
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-c", _MEASURED, *command], stdin=subprocess.PIPE, stdout=out, stderr=err
        )
        assert process.stdin
        with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
            for chunk in content:
                stdin.write(chunk)
        code = process.wait(600)
    said = errors.read_text()
    assert code == 0, output.read_bytes()[-2000:].decode() + said[-2000:]
    return Measured(code, time.monotonic() - began, int(said.splitlines()[-1]) / MEGABYTE, output)
