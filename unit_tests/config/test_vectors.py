"""The setting `vectors`: what is valid, what is said of wrong ones, and the form that Airbyte makes of it."""

from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from jsonschema import Draft7Validator

from destination_redis.caches import RecordOptions
from destination_redis.caches.metadata import own_names
from destination_redis.config.parse import parse_config, unknown_settings
from destination_redis.config.spec import specification
from destination_redis.config.stream_configs import StreamConfigs

Json = dict[str, Any]

FORM: Json = specification()["connectionSpecification"]
VECTOR: Json = {"field": "embedding", "dimensions": 384}
INDEXED: Json = {"host": "h", "cache_type": "json", "search_index": True}


def complaint(**config: Any) -> str:
    with pytest.raises(AirbyteTracedException) as caught:
        parse_config({"host": "h", **config})
    assert caught.value.failure_type is FailureType.config_error
    return str(caught.value)


def test_a_vector_needs_its_field_and_its_dimensions_alone() -> None:
    config = parse_config({**INDEXED, "vectors": [VECTOR]})
    (vector,) = config.vectors
    assert vector.model_dump() == {**VECTOR, "distance": "COSINE", "algorithm": "HNSW"}
    assert parse_config({"host": "h", "search_index": False}).vectors == ()


@pytest.mark.parametrize("shape", [("json", "columns"), ("json", "envelope"), ("hash", "columns")])
@pytest.mark.parametrize("distance", ["COSINE", "L2", "IP"])
@pytest.mark.parametrize("algorithm", ["FLAT", "HNSW"])
def test_every_type_with_an_index_has_vectors_of_every_kind(
    shape: tuple[str, str], distance: str, algorithm: str
) -> None:
    vectors = [{**VECTOR, "distance": distance, "algorithm": algorithm}]
    config = {**INDEXED, "cache_type": shape[0], "record_format": shape[1], "vectors": vectors}
    Draft7Validator(FORM).validate(config)
    assert [each.model_dump() for each in parse_config(config).vectors] == vectors


@pytest.mark.parametrize(
    ("vectors", "says"),
    [
        ([{"field": "e"}], "vectors.0.dimensions: Field required"),
        ([VECTOR, {"dimensions": 3}], "vectors.1.field: Field required"),
        ([{**VECTOR, "dimensions": 0}], "vectors.0.dimensions: Input should be greater than or equal to 1"),
        ([{**VECTOR, "dimensions": 32_769}], "vectors.0.dimensions: Input should be less than or equal to 32768"),
        ([{**VECTOR, "dimensions": 1.5}], "vectors.0.dimensions: Input should be a valid integer"),
        ([{**VECTOR, "distance": "cosine"}], "vectors.0.distance: Input should be 'COSINE', 'L2' or 'IP'"),
        ([{**VECTOR, "algorithm": "IVF"}], "vectors.0.algorithm: Input should be 'HNSW' or 'FLAT'"),
        ([{**VECTOR, "field": "a\0b"}], "vectors.0.field: Input should be text without NUL"),
        ([{**VECTOR, "field": "_airbyte_meta"}], "vectors.0.field: Input should not be a field that the connector"),
        (["embedding"], "vectors.0: Input should be"),
        ("embedding", "vectors: Input should be"),
    ],
)
def test_a_wrong_vector_is_a_config_error_that_says_where_and_why(vectors: Any, says: str) -> None:
    assert complaint(**INDEXED, vectors=vectors).startswith(f"The configuration is not valid: {says}")
    entries = [{"stream": "orders_*", "vectors": vectors}]
    assert complaint(**INDEXED, streams=entries).startswith(
        f"The configuration is not valid: streams.0 (orders_*): {says}"
    )


@pytest.mark.parametrize("name", sorted(own_names(RecordOptions("columns", full=True), upserts=True)))
def test_no_field_of_the_connectors_own_is_a_vector(name: str) -> None:
    assert "vectors.0.field: " in complaint(**INDEXED, vectors=[{**VECTOR, "field": name}])


def test_vectors_need_an_index_and_name_each_field_once() -> None:
    assert complaint(cache_type="json", vectors=[VECTOR]) == (
        "vectors needs search_index: turn search_index on, or leave vectors empty"
    )
    assert complaint(**INDEXED, vectors=[VECTOR, {**VECTOR, "dimensions": 3}]) == (
        "vectors names the field embedding more than once"
    )
    # The reason for both is that such a stream has no index.
    assert complaint(search_index=True, vectors=[VECTOR]).startswith("search_index needs cache_type json")


def test_an_entry_of_streams_has_vectors_of_its_own_or_the_global_ones() -> None:
    own = {**VECTOR, "field": "own"}
    entries = [{"stream": "own", "vectors": [own]}, {"stream": "none", "vectors": []}, {"stream": "inherits"}]
    found = StreamConfigs(parse_config({**INDEXED, "vectors": [VECTOR], "streams": entries}))
    fields = {name: [each.field for each in found.of(name, None).vectors] for name in ("own", "none", "inherits", "x")}
    assert fields == {"own": ["own"], "none": [], "inherits": ["embedding"], "x": ["embedding"]}
    assert found.left_out == []


def test_an_entry_without_an_index_leaves_the_global_vectors_out_and_may_not_have_its_own() -> None:
    entries: list[Json] = [{"stream": "off", "search_index": False}, {"stream": "queue", "cache_type": "list"}]
    found = StreamConfigs(parse_config({**INDEXED, "vectors": [VECTOR], "streams": entries}))
    assert [found.of(name, None).vectors for name in ("off", "queue")] == [(), ()]
    assert [each.partition(":")[0] for each in found.left_out] == [
        "streams.0 (off) leaves out the global vectors",
        "streams.1 (queue) leaves out the global search_index",
        "streams.1 (queue) leaves out the global vectors",
    ]
    for entry in entries:
        number, label = entries.index(entry), entry["stream"]
        wrong = [each | ({"vectors": [VECTOR]} if each is entry else {}) for each in entries]
        assert complaint(**INDEXED, streams=wrong).startswith(f"streams.{number} ({label}): vectors needs search_index")


def test_an_unknown_setting_of_a_vector_is_named_with_its_place() -> None:
    vectors = [VECTOR, {**VECTOR, "metric": "L2"}]
    assert unknown_settings({**INDEXED, "vectors": vectors, "streams": [{"stream": "s", "vectors": vectors}]}) == [
        "vectors.1.metric",
        "vectors.1.metric of streams.0 (s)",
    ]


def test_the_form_lists_vectors_for_all_streams_and_for_each_entry_with_the_same_fields() -> None:
    everywhere = FORM["properties"]["vectors"]["items"]
    assert everywhere == FORM["properties"]["streams"]["items"]["properties"]["vectors"]["items"]
    assert everywhere["type"] == "object"
    assert everywhere["required"] == ["field", "dimensions"]
    assert everywhere["properties"]["distance"]["enum"] == ["COSINE", "L2", "IP"]
    assert everywhere["properties"]["algorithm"]["enum"] == ["HNSW", "FLAT"]
