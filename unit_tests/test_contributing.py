"""What contributors go by: the same checks everywhere, one version everywhere."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent


def checks() -> list[str]:
    """Return the commands of `make check`."""
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(r"^check:.*\n((?:\t.+\n)+)", makefile, re.MULTILINE)
    folder = re.search(r"^BIN := (.+)$", makefile, re.MULTILINE)
    assert recipe
    assert folder
    return [line.strip().replace("$(BIN)", folder[1]) for line in recipe[1].splitlines()]


def test_pre_commit_runs_what_make_check_runs() -> None:
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    hooks = repositories[0]["hooks"]
    assert [hook["entry"] for hook in hooks] == checks()
    assert all(hook["language"] == "system" for hook in hooks)
    # Each looks at everything, whichever files a commit has.
    assert all(hook["always_run"] and not hook["pass_filenames"] for hook in hooks)


def test_the_changelog_begins_with_the_version_that_is_built() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    entries = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert entries[0][0] == version
    assert entries[0][1]


def test_every_make_target_that_contributors_are_told_of_is_there() -> None:
    told = re.findall(r"`make ([\w.-]+)", (ROOT / "CONTRIBUTING.md").read_text() + (ROOT / "README.md").read_text())
    targets = re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert "check" in told
    assert set(told) <= {*targets, ".venv"}
