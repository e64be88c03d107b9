"""The masks: text that leaves this process, without the secrets of its configuration, and without data.

Libraries put a secret into their messages as it is, as Python, JSON or a URL write it, or a line of it. So all of these
are looked for, the longest first, in plain text: what is masked is never JSON already, or a short secret would tear it.
Errors of which nobody knows the text may quote what they were given, and so data: of them only the kind is told.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

MASK = "****"
#: A secret of fewer characters is masked where it is a word of its own: in every word it would be readable by the gaps.
_SHORT = 4
#: What may stand before such a word: no letter or digit, but for one that ends what stands for a character.
_BEFORE = r"(?:(?<!\w)|(?<=%[\dA-Fa-f]{2})|(?<=\\[abfnrtv])|(?<=\\x[\da-f]{2})|(?<=\\u[\da-f]{4}))"
#: The password in what someone took for a host: redis://user:password@host.
_IN_HOST = re.compile(r"^(?:[a-z+]+://)?[^/@\s:]*:(\S+)@")
Mask = Callable[[str], str]


def masking(secrets: Iterable[str]) -> Mask:
    """Return what takes `secrets` out of a text, and whatever no output can encode."""
    forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
    found = re.compile("|".join(map(_searched, forms))) if forms else None

    def mask(text: str) -> str:
        text = found.sub(MASK, text) if found else text
        return text.encode(errors="backslashreplace").decode()

    return mask


def secrets_in(config: object, names: frozenset[str]) -> Iterator[str]:
    """Yield every secret in `config`: what stands under one of `names`, wherever and of whatever type it is."""
    if isinstance(config, dict):
        for name, value in config.items():
            yield from _texts(value) if name in names else secrets_in(value, names)
    elif isinstance(config, list):
        for value in config:
            yield from secrets_in(value, names)
    elif isinstance(config, str):
        yield from _IN_HOST.findall(config)


def secret_names(schema: object) -> frozenset[str]:
    """Return the names of all settings that `schema`, a JSON schema, calls secret."""
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
    """Yield what may stand for `secret` in a text."""
    for part in (secret, secret.strip(), *_lines(secret)):
        if not part.strip():
            continue
        raw = part.encode(errors="surrogatepass")
        yield from (part, ascii(part)[1:-1], repr(part)[1:-1], repr(raw)[2:-1])
        yield from (json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1])
        yield from (quote(raw), quote(raw, safe=""), quote_plus(raw))


def _lines(secret: str) -> Sequence[str]:
    """Return the lines of `secret` that are worth a mask; PEM in a form of one line has their ends as characters."""
    lines = [line.strip() for line in secret.replace("\\n", "\n").splitlines()]
    return [line for line in lines if len(line) >= _SHORT and not line.startswith("-----")] if len(lines) > 1 else []


def _searched(form: str) -> str:
    return re.escape(form) if len(form) >= _SHORT else rf"{_BEFORE}{re.escape(form)}(?!\w)"
