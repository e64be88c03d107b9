"""Error replies that quote what was sent, as services, modules and proxies do, in many styles."""

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import quote

from hypothesis import strategies as st

#: Characters in a row of what was sent that no output may hold.
RUN = 6

STYLES: Sequence[Callable[[str], str]] = (
    str,
    str.upper,
    str.lower,
    str.title,
    repr,
    ascii,
    json.dumps,
    quote,
    lambda text: repr(text.encode()),
    lambda text: text.encode().hex(),
    lambda text: base64.b64encode(text.encode()).decode(),
    " ".join,
    lambda text: f"`{text}`, `{text}`",
    lambda text: f"'{text[:128]}'... (12 more bytes)",
    lambda text: f"{text[:20]}…",
    lambda text: f"({text})",
    lambda text: f"x{text}y",
)
#: What stands around a quote; the first word may be a code after which a command fails at once.
REFUSALS = (
    "{}",
    "ERR {}",
    "ERR unknown command {}, with args beginning with: {}",
    "ERR wrong value {} for key {}",
    "NOPERM User default has no permissions to run the {} command",
    "NOPERM User default has no permissions to run the '{}' command",
    "WRONGTYPE {} is of another type",
    "ERR Error running script (call to f_6b): @user_script:3: bad value {} at {}",
    "{} is not allowed",
    "The request {} was refused by policy {}",
)
#: The same of replies after which a command is sent again.
PASSING = ("OOM command not allowed: {}", "BUSY {}", "MISCONF {}", "NOREPLICAS {}", "LOADING {}", "MOVED {}", "ASK {}")
_WORDS = ("smith", "Memory", "limit", "the", "request", "to", "exceeded", "Müller", "O'Neil", "a", "hunter2", "ERR")

#: What records hold: anything, what JSON and quotes must escape, and sentences of words that servers say too.
texts = st.one_of(
    st.text(min_size=1, max_size=60),
    st.text("abcdef \\\"'{}:,0123456789", min_size=1, max_size=60),
    st.lists(st.sampled_from(_WORDS), min_size=1, max_size=12).map(" ".join),
)


@st.composite
def replies(draw: st.DrawFn, sources: Sequence[str], frames: Sequence[str]) -> str:
    """Return an error reply, in one line, with quotes of parts of `sources`."""

    def piece() -> str:
        source = draw(st.sampled_from(sources))
        start = draw(st.integers(0, len(source) - 1))
        part = source[start : start + draw(st.integers(1, 80))]
        return draw(st.sampled_from(STYLES))(part)

    frame = draw(st.sampled_from(frames))
    reply = frame.format(*(piece() for _ in range(frame.count("{}"))))
    return reply.replace("\r", " ").replace("\n", " ")


def runs(values: Iterable[str]) -> set[str]:
    """Return all runs of characters that must not be seen, in lower case."""
    lowered = [value.lower() for value in values]
    return {value[at : at + RUN] for value in lowered for at in range(len(value) - RUN + 1)}
