"""Which table is taken, which is refused, and where tables come from when there is no cluster."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from modelecology.serving.gateway.metrics import GatewayMetrics
from modelecology.serving.gateway.table_file import FileTable
from modelecology.serving.gateway.tables import Held, Offer, Tables
from tests.serving.gateway.stage import LIVE, OLD, table, until


def tables(namespace: str | None = "desk") -> Tables:
    return Tables("desk", namespace, GatewayMetrics())


def text(version: int = 1, **changes: Any) -> str:
    return json.dumps(table(version, **changes))


def test_a_newer_table_takes_the_place_of_an_older_one_and_listeners_hear_of_it() -> None:
    found = tables()
    heard: list[Held] = []
    found.listen(heard.append)
    assert found.offer(text(1)) is Offer.TAKEN
    assert found.offer(text(2, live=OLD)) is Offer.TAKEN
    assert [held.table.version for held in heard] == [1, 2]
    assert found.held is heard[-1]
    assert found.held.mark == found.held.table.digest()[:19]


@pytest.mark.parametrize(
    ("offered", "offer"),
    [
        (text(2, live=OLD), Offer.OLDER),
        (text(4, population="other"), Offer.FOREIGN),
        (text(4, namespace="other"), Offer.FOREIGN),
        (text(4, generalist=""), Offer.UNREADABLE),
        ("{", Offer.UNREADABLE),
        ("", Offer.UNREADABLE),
        (text(3), Offer.SAME),
    ],
)
def test_what_is_refused_leaves_the_old_table_in_place(offered: str, offer: Offer) -> None:
    metrics = GatewayMetrics()
    found = Tables("desk", "desk", metrics)
    found.offer(text(3))
    held = found.held
    assert found.offer(offered) is offer
    assert found.held is held
    refused = metrics.registry.get_sample_value(
        "modelecology_gateway_tables_refused_total", {"reason": offer.value}
    )
    assert refused == (None if offer is Offer.SAME else 1)


def test_another_table_of_the_same_decision_is_taken() -> None:
    found = tables()
    found.offer(text(3))
    assert found.offer(text(3, engines=("http://127.0.0.1:10",))) is Offer.TAKEN


def test_a_population_that_was_made_anew_starts_its_versions_anew() -> None:
    found = tables()
    found.offer(text(9, uid="first"))
    assert found.offer(text(1, uid="second")) is Offer.TAKEN
    assert found.offer(text(0, uid="second")) is Offer.OLDER


def test_without_a_namespace_a_table_of_any_is_taken() -> None:
    assert tables(None).offer(text(1, namespace="elsewhere")) is Offer.TAKEN


def test_a_refusal_is_told_once_and_names_the_field(caplog: pytest.LogCaptureFixture) -> None:
    found = tables()
    for _ in range(3):
        found.offer(text(1, fallback="Silent"))
    (told,) = caplog.messages
    assert "fallback" in told
    assert "there is none yet" in told


def test_only_the_newest_table_is_in_the_metrics() -> None:
    metrics = GatewayMetrics()
    found = Tables("desk", "desk", metrics)
    found.offer(text(1))
    found.offer(text(2))
    assert found.held is not None
    lines = [line for line in metrics.render().decode().splitlines() if "table_info{" in line]
    assert lines == [
        f'modelecology_gateway_table_info{{digest="{found.held.mark}",population="desk"}} 1.0',
    ]


def write(path: Path, content: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(content)
    new.rename(path)


def version(found: Tables) -> int | None:
    return None if found.held is None else found.held.table.version


async def test_a_file_is_followed_from_before_it_is_there(tmp_path: Path) -> None:
    path, found = tmp_path / "routes.json", tables()
    following = asyncio.create_task(FileTable(path, every=0.001).follow(found))
    await asyncio.sleep(0)
    assert version(found) is None
    for number in (1, 2):
        write(path, text(number))
        await until(lambda number=number: version(found) == number)  # type: ignore[misc]  # bound at once
    write(path, "{")
    write(path, text(3, live=LIVE))
    await until(lambda: version(found) == 3)
    following.cancel()


def test_a_file_that_did_not_change_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, found = tmp_path / "routes.json", tables()
    offers: list[object] = []
    monkeypatch.setattr(found, "offer", offers.append)
    file = FileTable(path)
    path.write_text(text(1))
    for _ in range(3):
        file.look(found)
    assert len(offers) == 1
    os.utime(path, ns=(1, 1))
    file.look(found)
    assert len(offers) == 2


def test_a_file_that_goes_leaves_the_table_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, found = tmp_path / "routes.json", tables()
    path.write_text(text(1))
    file = FileTable(path)
    file.look(found)
    path.unlink()
    caplog.clear()
    for _ in range(3):
        file.look(found)
    assert version(found) == 1
    assert len(caplog.messages) == 1
