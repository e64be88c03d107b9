"""The vector fields of an index: from the settings, as FT.CREATE takes them, and as FT.INFO shows them."""

from collections.abc import Iterable, Sequence

from destination_redis.config.vectors import Vector
from destination_redis.protocol.schema import VECTOR, Column


def with_vectors(columns: Iterable[Column], vectors: Iterable[Vector]) -> list[Column]:
    """Return the columns of an index: a vector takes the place of its schema's type, even if the schema lacks it."""
    found = {each.field: Column(each.field, VECTOR, options=options_of(each)) for each in vectors}
    return [*found.values(), *(column for column in columns if column.name not in found)]


def options_of(vector: Vector) -> tuple[str, ...]:
    """Return what follows the type of a vector field in FT.CREATE."""
    return _options(vector.algorithm, "FLOAT32", str(vector.dimensions), vector.distance)


def options_in(attribute: Sequence[object]) -> tuple[str, ...] | None:
    """Return the same from names and values in FT.INFO's reply; None if the server does not show them all."""
    pairs = zip(attribute[::2], attribute[1::2], strict=False)
    shown = {_text(name).upper(): _text(value).upper() for name, value in pairs}
    try:
        return _options(*(shown[name] for name in ("ALGORITHM", "DATA_TYPE", "DIM", "DISTANCE_METRIC")))
    except KeyError:
        return None


def _options(algorithm: str, data_type: str, dimensions: str, distance: str) -> tuple[str, ...]:
    return algorithm, "6", "TYPE", data_type, "DIM", dimensions, "DISTANCE_METRIC", distance


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
