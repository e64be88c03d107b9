"""What contributors go by: the same checks everywhere, one version everywhere."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from integration_tests.support.project import ROOT


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


def _links(page: str) -> list[str]:
    """Return what a page links to, but for other sites."""
    prose = re.sub(r"```.*?```|`[^`]*`", "", page, flags=re.DOTALL)
    return re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose)


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


def test_the_architecture_names_every_package_and_top_level_module_and_none_that_is_gone() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    (layers,) = re.findall(r"^## Layers\n(.+?)^## ", page, re.MULTILINE | re.DOTALL)
    named = re.findall(r"`(\w+(?:/|\.py))`", " ".join(re.findall(r"^\|(.+?)\|", layers, re.MULTILINE)))
    top = (ROOT / "destination_redis").iterdir()
    packages = [f"{path.parent.name}/" for path in (ROOT / "destination_redis").glob("*/__init__.py")]
    modules = [path.name for path in top if path.suffix == ".py" and path.name != "__init__.py"]
    assert sorted(named) == sorted([*packages, *modules])


def test_the_architecture_names_no_module_that_is_gone() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    outside = re.sub(r"^## Adding a data type$.+?^## ", "", page, flags=re.MULTILINE | re.DOTALL)
    modules = {path.name for path in ROOT.glob("**/*.py") if ".venv" not in path.parts}
    assert set(re.findall(r"\b\w+\.py\b", outside)) <= modules


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 1000


@pytest.mark.parametrize("page", [path for path in ROOT.glob("**/*.md") if ".venv" not in path.parts], ids=str)
def test_every_link_to_a_file_or_a_title_leads_there(page: Path) -> None:
    links = re.findall(
        r"\]\((?!https?:)([^)\s]+)\)", re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    )
    for link in links:
        name, _, title = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if title:
            titles = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert title in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in titles}, link
