"""Rules of a contract: which patterns gateways can use, and what is said of the others."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from modelecology.api.matching import Match, pattern_fault
from modelecology.api.specialist import Contract


@pytest.mark.parametrize("pattern", ["date", r"(?i)\bdue\b", r"\d{1,2}\. (May|June)", "^$", "é+", "a{1000}"])
def test_a_pattern_of_re2_can_be_used(pattern: str) -> None:
    assert pattern_fault(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(a", "unclosed group"),
        ("(?=a)", "look-around"),
        (r"(a)\1", "backreferences"),
        # The API server's RE2 knows these, and the gateways' does not take them.
        (r"\Qa.b\E", "unrecognized escape"),
        (r"\w{1000}", "size limit"),
    ],
)
def test_what_is_wrong_with_a_pattern_is_said_in_a_line(pattern: str, said: str) -> None:
    fault = pattern_fault(pattern)
    assert fault is not None
    assert said in fault
    assert "\n" not in fault


def test_a_contract_takes_sixteen_rules() -> None:
    rules = tuple(Match(keyword=f"k{n}") for n in range(17))
    Contract(task="dates", target=0.6, owner="me", match=rules[:16])
    with pytest.raises(ValidationError):
        Contract(task="dates", target=0.6, owner="me", match=rules)
