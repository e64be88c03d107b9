"""Places as elements of a geospatial index: which numbers are taken, and which field is the element."""

from typing import Any

import msgspec
import pytest

from destination_redis.caches import GeoCache, RecordOptions
from destination_redis.errors import NoElement, RejectedRecord
from destination_redis.protocol.json_fields import Path
from destination_redis.protocol.messages import UNREADABLE, Record
from destination_redis.resp import unpack_command

PLACE = {"longitude": "lng", "latitude": "lat"}


def gathered(*records: str | bytes, key: tuple[Path, ...] = (), **fields: str) -> list[bytes]:
    """Return the arguments of the elements that records with this data become."""
    cache = GeoCache(RecordOptions("columns", stream="shops", fields={**fields, **PLACE}, primary_key=key))
    parts: list[bytes] = []
    gather = cache.gatherer(parts)
    for number, text in enumerate(records):
        data = text.encode() if isinstance(text, str) else text
        added = gather(number, Record("s", msgspec.Raw(data), msgspec.Raw(b"1")))
        assert added == cache.collection.width(b"") == 3
    found = list(unpack_command(b"\n" + b"".join(parts)))
    assert len(found) == 3 * len(records)
    return found


def place(longitude: str, latitude: str) -> list[float]:
    """Return the place of a record with these JSON values, as Redis reads it."""
    east, north, _ = gathered(f'{{"lng":{longitude},"lat":{latitude}}}')
    return [float(east), float(north)]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("0", 0.0),
        ("-0", -0.0),
        ("13.361389", 13.361389),
        ("1.3361389e1", 13.361389),
        ("1E+1", 10.0),
        ("0.1000000000000000055511151231257827", 0.1),
        ("1e-400", 0.0),
        ("5e-324", 5e-324),
        ('"38.1155560"', 38.115556),
        ('" -7.5 "', -7.5),
        ('"+2"', 2.0),
        ('"1e1"', 10.0),
        ('"\\u0031.5"', 1.5),
    ],
)
def test_a_coordinate_is_a_number_or_a_text_that_is_one_to_the_precision_of_a_double(value: str, number: float) -> None:
    assert place(value, value) == [number, number]


def test_a_coordinate_may_be_as_far_as_redis_takes_it() -> None:
    assert place("180", "85.05112878") == [180, 85.05112878]
    assert place("-180.0", '"-85.05112878"') == [-180, -85.05112878]


@pytest.mark.parametrize(
    ("longitude", "latitude", "says"),
    [
        ("180.0000001", "0", "its field lng, the longitude, is not a number from -180 to 180"),
        ('"-180.5"', "0", "its field lng, the longitude, is not a number from -180 to 180"),
        ("0", "85.05112879", "its field lat, the latitude, is not a number from -85.05112878 to 85.05112878"),
        ("0", "-90", "its field lat, the latitude, is not a number from -85.05112878 to 85.05112878"),
        ("1e400", "0", "its field lng, the longitude, is not a number from -180 to 180"),
        *(
            (unusable, "0", "its field lng, the longitude, is not a number from -180 to 180")
            for unusable in (
                *('""', '"east"', '"NaN"', '"Infinity"', '"1,5"', '"1 2"', '"0x10"', "true", "[1]"),
                *('"13.4 N"', '{"type":"Point","coordinates":[1,2]}'),
            )
        ),
    ],
)
def test_an_impossible_place_is_rejected_with_the_name_of_its_field_and_without_the_value(
    longitude: str, latitude: str, says: str
) -> None:
    with pytest.raises(RejectedRecord) as caught:
        place(longitude, latitude)
    assert str(caught.value) == says


@pytest.mark.parametrize(
    "data", ['{"lng":1,"lat":null,"id":1}', '{"lat":1,"id":1}', '{"lng":null,"lat":"x","id":1}', '{"lng":1,"lat":1}']
)
def test_a_record_without_a_place_or_a_value_has_no_element_whatever_else_it_has(data: str) -> None:
    with pytest.raises(NoElement):
        gathered(data, value="id")


@pytest.mark.parametrize(
    ("value", "member"),
    [('"Palermo"', b"Palermo"), ("7", b"7"), ('"\\u00e9:{"', "é:{".encode()), ("true", b"true"), ("[1, 2]", b"[1, 2]")],
)
def test_an_element_is_the_text_of_the_field_that_value_names(value: str, member: bytes) -> None:
    for key in ((), (("lat",),)):
        assert gathered(f'{{"name":{value},"lng":1,"lat":2}}', key=key, value="name") == [b"1.0", b"2.0", member]


@pytest.mark.parametrize(
    ("data", "key", "member"),
    [
        ('{"id":7}', (("id",),), b"7"),
        ('{"id":"7"}', (("id",),), b"7"),
        ('{"id":"a:b%"}', (("id",),), b"a%3Ab%25"),
        ('{"id":1,"of":{"shop":"x"}}', (("of", "shop"), ("id",)), b"x:1"),
        ('{"id":null}', (("id",), ("of",)), b"%null:%null"),
        ('{"id":[1,{"a":2}]}', (("id",),), b'[1,%7B"a"%3A2%7D]'),
    ],
)
def test_without_a_value_an_element_is_the_primary_key_as_in_the_key_of_a_record(
    data: str, key: tuple[Path, ...], member: bytes
) -> None:
    whole = f'{data[:-1]},"lng":1,"lat":2}}'
    assert gathered(whole, key=key) == [b"1.0", b"2.0", member]


def test_a_primary_key_without_a_value_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    data = ['{"id":null,"lng":1,"lat":2}', '{"lng":1,"lat":2}', '{"id":null,"of":{"shop":1},"lng":1,"lat":2}']
    assert gathered(*data, key=(("id",), ("of", "shop")))[2::3] == [b"%null:%null", b"%null:%null", b"%null:1"]
    assert caplog.messages == [
        "A record of the stream shops has no value in its primary key (id, of.shop): all such records are one element"
    ]


def test_a_coordinate_may_be_part_of_the_primary_key_or_the_value() -> None:
    data = '{"lng":1.50,"lat":2}'
    assert gathered(data, key=(("lat",), ("lng",))) == [b"1.5", b"2.0", b"2:1.50"]
    assert gathered(data, value="lng") == [b"1.5", b"2.0", b"1.50"]


def test_without_a_value_and_a_primary_key_an_element_is_the_data_byte_for_byte() -> None:
    data = '{ "n": 1.10, "lng":1 , "lat":"2" }'
    assert gathered(data) == [b"1.0", b"2.0", data.encode()]


@pytest.mark.parametrize("options", [{}, {"key": (("id",),)}, {"value": "id"}])
@pytest.mark.parametrize("data", ["7", "[1]", '"text"', '{"id":1,"lng":"\\ud800","lat":1}'])
def test_data_that_is_no_object_or_no_valid_text_cannot_be_read(data: str, options: dict[str, Any]) -> None:
    with pytest.raises(UNREADABLE):
        gathered(data, **options)


def test_an_element_that_is_no_valid_text_is_rejected() -> None:
    with pytest.raises(RejectedRecord, match=r"^its field id, which value names, is not valid text$"):
        gathered(b'{"id":"\\n\xff","lng":1,"lat":2}', value="id")
    with pytest.raises(UNREADABLE):
        gathered(b'{"id":"\\n\xff","lng":1,"lat":2}', key=(("id",),))


def test_a_record_that_is_left_out_adds_nothing_to_those_gathered_before_and_after() -> None:
    cache = GeoCache(RecordOptions("columns", fields={"value": "id", **PLACE}))
    parts: list[bytes] = []
    gather = cache.gatherer(parts)
    for data, error in (
        (b'{"id":1,"lng":1,"lat":1}', None),
        (b'{"id":2,"lng":null,"lat":1}', NoElement),
        (b'{"id":3,"lng":1,"lat":90}', RejectedRecord),
        (b'{"id":"\\n\xff","lng":1,"lat":1}', RejectedRecord),
        (b'{"id":4,"lng":4,"lat":4}', None),
    ):
        record = Record("s", msgspec.Raw(data), msgspec.Raw(b"1"))
        if error is None:
            gather(1, record)
        else:
            with pytest.raises(error):
                gather(1, record)
    assert list(unpack_command(b"\n" + b"".join(parts)))[2::3] == [b"1", b"4"]
