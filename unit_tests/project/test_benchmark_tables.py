"""The figures in the documentation: those that were measured."""

from benchmarks.chart import chart
from benchmarks.figures import read
from benchmarks.tables import CHART, PAGE, TABLES, filled
from destination_redis.caches import CACHES


def test_the_page_and_the_chart_show_the_figures_that_were_measured() -> None:
    page = PAGE.read_text()
    assert page.count("<!-- table: ") == page.count("<!-- end -->") == len(TABLES)
    assert page == filled(page, read())
    assert CHART.read_text() == chart(read()["types"])


def test_every_data_type_and_format_was_measured() -> None:
    measured = {name: list(formats) for name, formats in read()["types"]["rows"].items()}
    assert measured == {name: list(cache.formats) for name, cache in CACHES.items()}
