import destination_redis


def test_the_package_offers_the_destination_and_nothing_else() -> None:
    assert destination_redis.__all__ == ["DestinationRedis"]
