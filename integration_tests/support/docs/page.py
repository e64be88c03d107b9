"""docs/redis.md taken apart: its sections, the fenced blocks in them, and the first cells of its tables."""

import re
from itertools import groupby
from textwrap import dedent
from typing import NamedTuple

from integration_tests.support.project import ROOT

TEXT = (ROOT / "docs" / "redis.md").read_text()


class Block(NamedTuple):
    section: str
    language: str
    text: str


def _blocks() -> list[Block]:
    found: list[Block] = []
    section, language, lines = "", "", None
    for line in TEXT.splitlines():
        fence = re.fullmatch(r" *```(\w*)", line)
        if lines is None and fence:
            language, lines = fence[1], list[str]()
        elif lines is not None and fence:
            found.append(Block(section, language, dedent("\n".join(lines))))
            lines = None
        elif lines is not None:
            lines.append(line)
        elif heading := re.match(r"#+ (.+)", line):
            section = heading[1]
    return found


BLOCKS = _blocks()
SECTIONS = {name: list(blocks) for name, blocks in groupby(BLOCKS, lambda block: block.section)}


def rows(section: str) -> list[list[str]]:
    """Return the cells of the tables in a section, headings left out."""
    text = re.split(rf"^#+ {re.escape(section)}$", TEXT, maxsplit=1, flags=re.MULTILINE)[1]
    text = re.split(r"^#+ ", text, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in line.strip("|").split(" |")]
        for line, following in zip(lines, [*lines[1:], ""], strict=True)
        if not line.startswith("| :") and not following.startswith("| :")
    ]
