"""Python environments of other programs: made by pip, and kept for later runs of the tests."""

import fcntl
import hashlib
import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from integration_tests.support.project import ROOT

#: May be removed at any time. What an environment was made of is in its name, so none is ever changed.
KEPT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "destination-redis-tests"


def locked(package: str) -> Path:
    """Return the environment of a package that is not ours: what its lock file names."""
    return _kept(
        package,
        ["--no-deps", "--requirement"],
        ROOT / "integration_tests" / "support" / "packaging" / "locks" / f"{package}.txt",
    )


def with_this_checkout(folder: Path) -> Path:
    """Install the connector as it is here into a new environment, over a kept one with what it depends on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    venv.create(folder, symlinks=True)
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in pins().items()))
    dependencies = _kept(project["name"], [*project["dependencies"], "--constraint"], constraints)
    (_packages(folder) / "dependencies.pth").write_text(str(_packages(dependencies)))
    _install(folder, str(ROOT), "--constraint", str(constraints))
    return folder


def pins() -> dict[str, str]:
    """Return name -> version of each package in poetry.lock, its name as registries compare it."""
    return {each["name"]: each["version"] for each in tomllib.loads((ROOT / "poetry.lock").read_text())["package"]}


def _kept(name: str, arguments: list[str], lock: Path) -> Path:
    made_of = "\n".join([sys.version, *arguments, lock.read_text()])
    folder = KEPT / f"{name}-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}"
    KEPT.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as only_one:
        fcntl.flock(only_one, fcntl.LOCK_EX)
        complete = folder / "complete"
        if not complete.exists():
            venv.create(folder, clear=True, symlinks=True)
            _install(folder, *arguments, str(lock))
            complete.touch()
    return folder


def _packages(folder: Path) -> Path:
    (packages,) = folder.glob("lib/python*/site-packages")
    return packages


def _install(folder: Path, *arguments: str) -> None:
    """Install packages; where they are not to be had it is a skip on a laptop and a failure in CI."""
    # Few modules of these packages are ever loaded: they are compiled when they are.
    command = [sys.executable, "-m", "pip", "--python", str(folder), "install", "--quiet", "--no-compile", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode == 0:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"pip cannot make {folder.name}: {done.stderr}")
    pytest.skip(f"pip cannot make {folder.name}")
