"""A document taken apart: its sections, and the code blocks in them."""

import re

from integration_tests.support.project import ROOT


def section(document: str, title: str) -> str:
    """Return what stands under a title of a document, up to the next title of its level or above."""
    text = (ROOT / document).read_text()
    (found,) = re.findall(rf"^(#+) {re.escape(title)}\n(.+?)(?=^\1 |^##? |\Z)", text, re.MULTILINE | re.DOTALL)
    return str(found[1])


def block(text: str, language: str) -> str:
    """Return the one code block in a language."""
    (found,) = re.findall(rf"```{language}\n(.+?)```", text, re.DOTALL)
    return str(found)
