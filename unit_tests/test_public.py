"""What the package gives to programs: its names and its types."""

import importlib.resources

import destination_redis


def test_the_package_offers_the_destination_and_what_reads_its_records() -> None:
    assert destination_redis.__all__ == ["CACHES", "DestinationRedis", "RecordOptions", "RedisRecord"]
    assert all(hasattr(destination_redis, name) for name in destination_redis.__all__)


def test_the_package_says_that_it_has_types() -> None:
    assert importlib.resources.files(destination_redis).joinpath("py.typed").is_file()
