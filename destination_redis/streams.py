"""The configured catalog -> one frozen value per (namespace, stream)."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from destination_redis.errors import config_error

Mode = Literal["append", "overwrite"]

#: What PyAirbyte sends for every sync: generation, minimum and sync id say nothing then.
_PYAIRBYTE = (1, 1, 1)


class _CatalogStream(msgspec.Struct, frozen=True):
    name: str
    namespace: str | None = None


class _Configured(msgspec.Struct, frozen=True):
    stream: _CatalogStream
    destination_sync_mode: str
    generation_id: int | None = None
    minimum_generation_id: int | None = None
    sync_id: int | None = None


class _Catalog(msgspec.Struct, frozen=True):
    streams: list[_Configured]


@dataclass(frozen=True, slots=True)
class Stream:
    """One configured stream; `namespace` None where the catalog has none or an empty one."""

    name: str
    namespace: str | None
    mode: Mode
    generation_id: int | None = None
    minimum_generation_id: int | None = None
    sync_id: int | None = None

    def __str__(self) -> str:
        return f"{self.namespace}.{self.name}" if self.namespace else self.name

    @property
    def pair(self) -> tuple[int | None, int | None]:
        """(generation, sync id), by which live and staged records are known."""
        return self.generation_id, self.sync_id

    @property
    def truncates(self) -> bool:
        """Whether the catalog's generations ask for records of older ones to go."""
        numbers = (self.generation_id, self.minimum_generation_id, self.sync_id)
        generation, minimum, _ = numbers
        return generation is not None and generation == minimum and generation > 0 and numbers != _PYAIRBYTE

    @property
    def starts_anew(self) -> bool:
        """Whether it replaces whatever is there, staged or live: an overwrite without a usable generation."""
        return self.mode == "overwrite" and not self.truncates

    @property
    def needs_complete(self) -> bool:
        """Whether only a COMPLETE can end it: a refresh by generation."""
        return self.truncates and self.mode != "overwrite"


def parse_catalog(content: bytes) -> tuple[Stream, ...]:
    """Return the configured streams; raises a config error where the catalog is not one or has a mode we lack."""
    try:
        catalog = msgspec.json.decode(content, type=_Catalog)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise config_error(f"The catalog cannot be read: {error}") from error
    streams = tuple(_stream(configured) for configured in catalog.streams)
    seen: set[tuple[str | None, str]] = set()
    for stream in streams:
        if (stream.namespace, stream.name) in seen:
            raise config_error(f"The catalog names the stream {stream} twice")
        seen.add((stream.namespace, stream.name))
    return streams


def _stream(configured: _Configured) -> Stream:
    name, namespace = configured.stream.name, configured.stream.namespace or None
    mode = configured.destination_sync_mode
    if mode not in ("append", "overwrite"):
        raise config_error(f"The stream {name} has the sync mode {mode!r}; this connector has append and overwrite")
    known: Mode = "append" if mode == "append" else "overwrite"
    return Stream(
        name=name,
        namespace=namespace,
        mode=known,
        generation_id=configured.generation_id,
        minimum_generation_id=configured.minimum_generation_id,
        sync_id=configured.sync_id,
    )
