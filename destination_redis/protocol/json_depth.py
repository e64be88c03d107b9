"""The depth of JSON text: the levels of arrays and objects that are inside one another."""

import re

#: A string without escapes of quotation marks.
_STRING = re.compile(rb'"[^"]*"')
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_OTHERS = bytes(set(range(256)) - set(b'[]{}"'))


def depth(data: bytes) -> int:
    """Return the number of levels in valid JSON; 0 if it is neither an array nor an object."""
    if b"\\" in data:
        data = data.replace(rb"\\", b"").replace(rb"\"", b"")
    # What is left of a string without brackets is two quotation marks.
    brackets = data.translate(_BRACKETS, _OTHERS).replace(b'""', b"")
    if b'"' in brackets:
        brackets = _STRING.sub(b"", brackets)
    levels = 0
    while brackets:  # the innermost level goes first
        brackets = brackets.replace(b"[]", b"")
        levels += 1
    return levels


def is_deeper(data: bytes, levels: int) -> bool:
    """Return whether valid JSON has more levels than so many; much faster than `depth` for flat data."""
    return data.count(b"{") + data.count(b"[") > levels and depth(data) > levels
