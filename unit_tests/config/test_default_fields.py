"""The fields that a data type needs and the settings do not name: the first of the usual names in the schema."""

from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.config.default_fields import with_default_fields
from destination_redis.config.parse import parse_config
from destination_redis.protocol.catalog import Stream


def found(*properties: str, **settings: Any) -> dict[str, str]:
    """Return the fields of a stream with these properties in its schema."""
    config = parse_config({"host": "h", "cache_type": "geo", "record_format": "columns", **settings})
    return with_default_fields(config, Stream("stores", "shop", "append", properties=properties)).fields


@pytest.mark.parametrize(
    ("properties", "longitude", "latitude"),
    [
        (("id", "lon", "lat"), "lon", "lat"),
        (("lat", "lon", "lng"), "lng", "lat"),
        (("lat", "lng", "latitude", "longitude", "lon"), "longitude", "latitude"),
    ],
)
def test_the_first_usual_name_that_the_schema_has_is_taken(
    properties: tuple[str, ...], longitude: str, latitude: str
) -> None:
    assert found(*properties) == {"longitude": longitude, "latitude": latitude}


def test_what_is_set_holds_whatever_the_schema_has() -> None:
    assert found("lng", "lat", longitude="x") == {"longitude": "x", "latitude": "lat"}
    assert found("lng", "lat", latitude="y") == {"longitude": "lng", "latitude": "y"}
    assert found(longitude="x", latitude="y", value="id") == {"value": "id", "longitude": "x", "latitude": "y"}


@pytest.mark.parametrize(
    ("properties", "settings", "says"),
    [
        ((), {}, "no field named longitude, lng or lon: set longitude to the field that cache_type geo is to use"),
        (("lng", "Lat"), {}, "no field named latitude or lat: set latitude to the field that cache_type geo is to use"),
        (("lat",), {"latitude": "lat"}, "no field named longitude, lng or lon: set longitude to the field that cache_"),
    ],
)
def test_where_there_is_none_the_error_names_the_stream_and_the_setting(
    properties: tuple[str, ...], settings: dict[str, str], says: str
) -> None:
    with pytest.raises(AirbyteTracedException) as caught:
        found(*properties, **settings)
    assert caught.value.failure_type is FailureType.config_error
    assert str(caught.value).startswith(f"The schema of the stream shop.stores has {says}")


def test_a_data_type_that_needs_no_field_keeps_its_settings() -> None:
    config = parse_config({"host": "h", "cache_type": "sorted_set", "record_format": "columns"})
    assert with_default_fields(config, Stream("stores", None, "append", properties=("lng", "lat"))) is config
