"""Python environments of other programs: made by pip, and kept for later runs of the tests."""

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: Nothing in it is changed once it is complete: what it was made from is in its name.
KEPT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "destination-redis-tests"


def kept(requirements: list[str], lock: Path) -> Path:
    """Return the environment that has these packages, in the versions of the lock file."""
    made_of = "\n".join([sys.version, *requirements, lock.read_text()])
    name = re.split(r"[^\w-]", requirements[0])[0]
    folder = KEPT / f"{name}-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}"
    KEPT.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as only_one:
        fcntl.flock(only_one, fcntl.LOCK_EX)
        complete = folder / "complete"
        if not complete.exists():
            venv.create(folder, clear=True, symlinks=True)
            _install(folder, *requirements, "--constraint", str(lock))
            complete.touch()
    return folder


def with_this_checkout(folder: Path) -> Path:
    """Install the connector as it is here into a new environment, over a kept one with what it depends on."""
    lock = ROOT / "requirements.lock"
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    venv.create(folder, symlinks=True)
    (_packages(folder) / "dependencies.pth").write_text(str(_packages(kept(dependencies, lock))))
    _install(folder, str(ROOT), "--constraint", str(lock))
    return folder


def _packages(folder: Path) -> Path:
    (packages,) = folder.glob("lib/python*/site-packages")
    return packages


def _install(folder: Path, *arguments: str) -> None:
    """Install packages; where they are not to be had it is a skip on a laptop and a failure in CI."""
    # Of hundreds of packages few modules are ever loaded: these are compiled when they are.
    command = [sys.executable, "-m", "pip", "--python", str(folder), "install", "--quiet", "--no-compile", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode == 0:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"pip cannot install {arguments[0]}: {done.stderr}")
    pytest.skip(f"pip cannot install {arguments[0]}")
