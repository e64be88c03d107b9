"""Records without an element before, between and after all others: whatever dies, is sent again or comes late."""

import pytest

from integration_tests.support.faults.attempts import Attempts, Fault, deliver_first_batch_late
from integration_tests.support.faults.kinds import DEATHS, unanswered
from integration_tests.support.faults.runner import Runners
from integration_tests.support.faults.scenarios import KEY, VALUED, Scenario
from integration_tests.support.faults.seed import FULL, rng

KILLED, KILLED_LATE = DEATHS[:2]
SCENARIOS = [Scenario(mode, shape, valued=True) for mode in ("append", "refresh") for shape in VALUED]
BY_SCENARIO = pytest.mark.parametrize("scenario", SCENARIOS, ids=str)


@BY_SCENARIO
@pytest.mark.parametrize("fault", [KILLED, KILLED_LATE, Fault("unanswered", unanswered)], ids=str)
def test_a_fault_at_any_command_leaves_every_element_once(runners: Runners, scenario: Scenario, fault: Fault) -> None:
    runner = runners.of(scenario)
    attempts = Attempts()
    # The commands before the ninth open the connection and take the lease; only a list can double or lose elements.
    step = 1 if FULL else 3 if scenario.shape[0] == "list" else 8
    number = 1 if FULL else 9 + rng(f"elements {scenario} {fault}").randrange(step)
    while attempts.attempt(runner, {number: fault}):
        number += step
    attempts.report(f"{scenario}, {fault} at a command after the other")


@BY_SCENARIO
def test_a_batch_that_comes_late_changes_nothing(runners: Runners, scenario: Scenario) -> None:
    runner = runners.of(scenario)
    deliver_first_batch_late(runner, scenario, KEY.encode())
    assert scenario.found(runner.server.client) == scenario.expected()
    assert scenario.untidy(runner.server.client) == []
