"""The golden Specialists are such as the operator writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from modelecology.api.reasons import named
from modelecology.api.specialist import Specialist
from modelecology.governance.facts import RevisionRecord, Wait
from modelecology.governance.log import SpecialistRecord
from modelecology.reconcile.status import specialist_status

from .cases import TREE

GOLDEN = sorted(TREE.glob("modelecology.io/Specialist/testdata/*.yaml"))
JUDGED = [path for path in GOLDEN if "status" in yaml.safe_load(path.read_text())]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_specialist_is_a_specialist(path: Path) -> None:
    Specialist.model_validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("path", JUDGED, ids=lambda path: path.stem)
def test_the_conditions_of_a_golden_specialist_are_what_the_operator_says_in_its_case(path: Path) -> None:
    golden = Specialist.model_validate(yaml.safe_load(path.read_text()))
    (ready, *_) = golden.status.conditions
    assert named(ready.reason) == ready.reason
    found = said_of(golden, Wait(named(ready.reason), ready.message))
    # Not the message: a remedy may be worded anew without a change of health.
    wanted = {c.type: (c.status, c.reason) for c in golden.status.conditions}
    assert {c["type"]: (c["status"], c["reason"]) for c in found} == wanted


def said_of(golden: Specialist, wait: Wait) -> list[dict[str, Any]]:
    """Give the conditions that the operator writes of a Specialist in a state that waits for something."""
    status = golden.status
    standing = status.candidate or status.live or status.previous
    assert standing is not None
    now = status.conditions[0].last_transition_time
    record = RevisionRecord(
        standing.revision, standing.served_name, status.state, now, now, reason=standing.reason
    )
    log = SpecialistRecord(golden.metadata.name, golden.metadata.uid, {record.revision: record})
    after = specialist_status(golden, None, log, record, wait, progress=None, now=now)
    conditions: list[dict[str, Any]] = after.model_dump(mode="json")["conditions"]
    return conditions
