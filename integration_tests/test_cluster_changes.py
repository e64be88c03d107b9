"""A Redis Cluster that is changed by hand: planned failovers, nodes that join, syncs that begin in between."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration_tests.clusters import ClusterServers, cluster
from integration_tests.connector import (
    COMPLETE,
    Connector,
    record,
    stream,
    values,
)


@pytest.fixture
def replicated() -> Iterator[ClusterServers]:
    """Three primaries with a replica each."""
    with cluster(replicas=True) as servers:
        yield servers


def test_a_sync_that_begins_while_a_primary_is_being_replaced_waits_for_its_successor(
    replicated: ClusterServers, tmp_path: Path
) -> None:
    replicated.wait_until_in_step()
    replicated.kill(replicated.primaries[1])
    outcome = Connector(replicated.config, tmp_path).write([stream()], [*map(record, range(1, 301)), COMPLETE])
    assert outcome.code == 0, outcome.text
    with replicated.client() as client:
        assert values(client) == list(range(1, 301))  # type: ignore[arg-type]
