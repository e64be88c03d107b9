"""The redaction of secrets: removes those of the configuration from text that leaves this process.

Libraries put a secret into their messages unchanged, as written in Python, JSON or a URL, or one line of it. So all of
these forms are searched, the longest first, in plain text: redacting JSON could break it if a secret is short.
Errors of unknown text may quote their input, and so data: of these only the class is reported.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

MASK = "****"
#: A shorter secret is redacted only as a word of its own: gaps inside other words would reveal it.
_SHORT = 4
#: What may precede such a word: no letter or digit, except the end of an escape sequence.
_BEFORE = r"(?:(?<!\w)|(?<=%[\dA-Fa-f]{2})|(?<=\\[abfnrtv])|(?<=\\x[\da-f]{2})|(?<=\\u[\da-f]{4}))"
#: The password in a URL given as a host: redis://user:password@host.
_IN_HOST = re.compile(r"^(?:[a-z+]+://)?[^/@\s:]*:(\S+)@")
Mask = Callable[[str], str]


def masking(secrets: Iterable[str]) -> Mask:
    """Return a function that redacts `secrets` in a text, and escapes what cannot be encoded."""
    forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
    found = re.compile("|".join(map(_searched, forms))) if forms else None

    def mask(text: str) -> str:
        text = found.sub(MASK, text) if found else text
        return text.encode(errors="backslashreplace").decode()

    return mask


def secrets_in(config: object, names: frozenset[str]) -> Iterator[str]:
    """Yield every secret in `config`: the values of `names`, at any depth and of any type."""
    if isinstance(config, dict):
        for name, value in config.items():
            yield from _texts(value) if name in names else secrets_in(value, names)
    elif isinstance(config, list):
        for value in config:
            yield from secrets_in(value, names)
    elif isinstance(config, str):
        yield from _IN_HOST.findall(config)


def secret_names(schema: object) -> frozenset[str]:
    """Return the names of all settings that `schema`, a JSON schema, marks as secret."""
    if isinstance(schema, list):
        return frozenset().union(*map(secret_names, schema))
    if not isinstance(schema, dict):
        return frozenset()
    properties = schema.get("properties")
    own = properties.items() if isinstance(properties, dict) else ()
    here = {name for name, form in own if isinstance(form, dict) and form.get("airbyte_secret") is True}
    return frozenset(here).union(*map(secret_names, schema.values()))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def _forms(secret: str) -> Iterator[str]:
    """Yield the forms in which `secret` may appear in a text."""
    for part in (secret, secret.strip(), *_lines(secret)):
        if not part.strip():
            continue
        raw = part.encode(errors="surrogatepass")
        yield from (part, ascii(part)[1:-1], repr(part)[1:-1], repr(raw)[2:-1])
        yield from (json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1])
        yield from (quote(raw), quote(raw, safe=""), quote_plus(raw))


def _lines(secret: str) -> Sequence[str]:
    """Return the lines of `secret` worth redacting; in PEM from a single-line form they end in two characters."""
    lines = [line.strip() for line in secret.replace("\\n", "\n").splitlines()]
    return [line for line in lines if len(line) >= _SHORT and not line.startswith("-----")] if len(lines) > 1 else []


def _searched(form: str) -> str:
    return re.escape(form) if len(form) >= _SHORT else rf"{_BEFORE}{re.escape(form)}(?!\w)"
