"""The figures in the documentation: those that were measured."""

import re

from benchmarks.chart import chart
from benchmarks.figures import read
from benchmarks.tables import CHART, PAGES, TABLES, filled
from destination_redis.caches import CACHES


def test_the_pages_and_the_chart_show_the_figures_that_were_measured() -> None:
    shown = [re.findall(r"<!-- table: (\w+) -->.+?<!-- end -->", page.read_text(), re.DOTALL) for page in PAGES]
    assert shown == [["types", "modes", "cluster"], ["modes"]]
    assert set(shown[0]) == set(TABLES)
    for page in PAGES:
        assert page.read_text() == filled(page.read_text(), read())
    assert CHART.read_text() == chart(read()["types"])


def test_every_data_type_and_format_was_measured() -> None:
    measured = {name: list(formats) for name, formats in read()["types"]["rows"].items()}
    assert measured == {name: list(cache.capabilities.formats) for name, cache in CACHES.items()}
