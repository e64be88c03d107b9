"""The setting `vectors`: the fields of records that hold vectors, and how a search index compares these."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict
from pydantic_core import PydanticCustomError

from destination_redis.caches import RecordOptions
from destination_redis.caches.metadata import own_names
from destination_redis.config.base import Settings, setting

#: The limit of Valkey's search module; no model of embeddings comes near it.
MOST_DIMENSIONS = 32_768
_OWN = own_names(RecordOptions("columns", full=True), upserts=True)


def _field(name: str) -> str:
    if name in _OWN:
        raise PydanticCustomError("vector_field", "Input should not be a field that the connector writes")
    if "\0" in name:  # where RediSearch ends a name
        raise PydanticCustomError("vector_field", "Input should be text without NUL")
    return name


def _in_form(schema: dict[str, Any]) -> None:
    schema.pop("description")


class Vector(Settings):
    """A top-level field of records with vectors, and how they are indexed."""

    model_config = ConfigDict(title="Vector", json_schema_extra=_in_form)
    field: Annotated[str, AfterValidator(_field)] = setting(
        "Field",
        0,
        description="The top-level field of a record that holds the vector, an array of numbers.",
        examples=["embedding"],
        min_length=1,
    )
    dimensions: int = setting(
        "Dimensions",
        1,
        description="How many numbers a vector has. The model that made the embeddings defines this.",
        examples=[384, 1536],
        ge=1,
        le=MOST_DIMENSIONS,
    )
    distance: Literal["COSINE", "L2", "IP"] = setting(
        "Distance",
        2,
        default="COSINE",
        description="The measure of distance between two vectors: COSINE, L2 (Euclidean) or IP (inner product).",
    )
    algorithm: Literal["HNSW", "FLAT"] = setting(
        "Algorithm",
        3,
        default="HNSW",
        description="HNSW finds nearly all of the nearest vectors, and stays fast with millions of them. FLAT compares "
        "with every vector and is exact.",
    )
