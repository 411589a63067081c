"""The small parts: the choice of replicas, tokens, and labels that stay bounded."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.serving.gateway.metrics import MOST_NAMES, GatewayMetrics
from modelecology.serving.gateway.replicas import REST_SECONDS, Replica, Replicas
from modelecology.serving.tokens import TokenFile, TokenUnusable


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def chosen(replicas: Replicas, served: str = "m") -> list[Replica]:
    return list(replicas.choices(served))


@given(
    st.lists(st.sampled_from("abcdef"), max_size=8),
    st.lists(st.integers(0, 3), min_size=6, max_size=6),
    st.sets(st.integers(0, 5)),
    st.sets(st.integers(0, 5)),
)
def test_each_engine_is_tried_once_and_those_that_may_answer_come_first(
    endpoints: list[str], busy: list[int], resting: set[int], lacking: set[int]
) -> None:
    replicas = Replicas(Clock())
    replicas.use(endpoints)
    found = chosen(replicas)
    for place, replica in enumerate(found):
        replica.outstanding = busy[place]
        if place in resting:
            replicas.failed(replica)
        if place in lacking:
            replicas.lacks(replica, "m")
    again = chosen(replicas)
    assert {replica.endpoint for replica in again} == set(endpoints)
    assert len(again) == len(set(endpoints)) == len(replicas)
    fitness = [replica.fitness("m", 100.0) for replica in again]
    assert fitness == sorted(fitness)


def test_equals_take_turns() -> None:
    replicas = Replicas(Clock())
    replicas.use(["a", "b", "c"])
    first = [next(replicas.choices("m")).endpoint for _ in range(6)]
    assert sorted(first) == ["a", "a", "b", "b", "c", "c"]


def test_an_engine_that_failed_is_used_again_after_a_moment() -> None:
    clock = Clock()
    replicas = Replicas(clock)
    replicas.use(["a", "b"])
    failed = next(replicas.choices("m"))
    replicas.failed(failed)
    assert all(next(replicas.choices("m")) is not failed for _ in range(4))
    clock.now += REST_SECONDS
    assert any(next(replicas.choices("m")) is failed for _ in range(2))


def test_an_engine_that_lacks_one_name_is_used_for_others() -> None:
    replicas = Replicas(Clock())
    replicas.use(["a", "b"])
    lacking = next(replicas.choices("m"))
    replicas.lacks(lacking, "m")
    assert all(next(replicas.choices("m")) is not lacking for _ in range(4))
    assert any(next(replicas.choices("other")) is lacking for _ in range(2))


def test_what_is_known_of_an_engine_that_stays_is_kept() -> None:
    replicas = Replicas(Clock())
    replicas.use(["a", "b"])
    known = {replica.endpoint: replica for replica in chosen(replicas)}
    replicas.use(["b", "c"])
    now = {replica.endpoint: replica for replica in chosen(replicas)}
    assert now["b"] is known["b"]
    assert set(now) == {"b", "c"}


def test_a_token_is_read_again_when_it_changes_and_kept_when_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(" one \n")
    token = TokenFile(path)
    assert token.is_in("Bearer one")
    path.write_text("second")
    assert token.token() == "second"
    assert not token.is_in("Bearer one")
    path.write_text("")
    assert token.token() == "second"
    path.unlink()
    assert token.token() == "second"


@pytest.mark.parametrize("content", [b"", b" \n", b"two words", b"\xff\xfe"])
def test_a_file_without_a_token_is_refused_and_not_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(TokenUnusable) as caught:
        TokenFile(path)
    assert str(path) in str(caught.value)
    assert "words" not in str(caught.value)


def test_a_token_with_strange_letters_in_a_request_is_wrong_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one")
    assert not TokenFile(tmp_path / "token").is_in("Bearer \udcff\xe9")


def test_revisions_that_a_table_dropped_are_forgotten_when_there_are_too_many() -> None:
    metrics = GatewayMetrics()
    for number in range(MOST_NAMES + 50):
        metrics.answered(f"r-{number}", "dates", 200, 0.1)
        metrics.compared(f"r-{number}", agreed=True)
    metrics.engine_failed("http://a:1", "busy")
    kept = frozenset({"r-1", "r-2"})
    metrics.table_taken("desk", 2, "sha256:abc", kept, ("http://b:1",))
    text = metrics.render().decode()
    assert 'modelecology_gateway_requests_total{model="r-1"' in text
    assert 'model="r-3"' not in text
    assert "http://a:1" not in text
    # Few names are kept though the table has dropped them, so that a scrape can still count them.
    metrics.table_taken("desk", 3, "sha256:abd", frozenset(), ())
    assert 'model="r-1"' in metrics.render().decode()
