"""The form of docs/redis.md: what is long is folded, as on Airbyte's other pages."""

import re
from itertools import groupby

from integration_tests.support.project import ROOT

LINES = (ROOT / "docs" / "redis.md").read_text().splitlines()
TAGS = {"<details>": "</details>", "<HideInUI>": "</HideInUI>"}
#: Rows of a table, its head included, and lines of an example that stand unfolded.
LONGEST = 12


def folded() -> list[int]:
    """Return the numbers of the lines inside <details>."""
    found, inside = [], False
    for number, line in enumerate(LINES):
        inside = (inside or line == "<details>") and line != "</details>"
        if inside:
            found.append(number)
    return found


def test_every_tag_closes_inside_the_one_that_it_was_opened_in() -> None:
    opened: list[str] = []
    for line in LINES:
        if line in TAGS:
            assert line not in opened
            opened.append(line)
        elif line in TAGS.values():
            assert TAGS[opened.pop()] == line
    assert opened == []


def test_markdown_inside_and_beside_tags_is_read_as_such() -> None:
    # It needs an empty line between itself and a tag.
    for before, line, after in zip(["", *LINES], LINES, [*LINES[1:], ""], strict=False):
        if line in ("<HideInUI>", *TAGS.values()):
            assert (before, after) == ("", ""), line
        if line == "<details>":
            assert before == ""
            assert re.fullmatch(r"<summary>[^<>{}]+</summary>", after)
        if line.startswith("<summary>"):
            assert after == ""


def test_every_long_table_and_the_changelog_are_folded() -> None:
    inside = set(folded())
    tables = [
        [number for number, _ in rows]
        for table, rows in groupby(enumerate(LINES), lambda numbered: numbered[1].startswith("|"))
        if table
    ]
    assert max(map(len, tables)) > LONGEST
    assert [LINES[rows[0]] for rows in tables if len(rows) > LONGEST and not inside.issuperset(rows)] == []
    changelog = LINES.index("## Changelog")
    assert inside.issuperset(number for number, line in enumerate(LINES) if number > changelog and line.startswith("|"))


def test_every_example_of_settings_is_folded() -> None:
    inside = set(folded())
    examples = [number for number, line in enumerate(LINES) if line == "```json"]
    assert examples
    assert inside.issuperset(examples)
