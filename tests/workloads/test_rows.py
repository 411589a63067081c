"""Bad data is named by file and line before any work is done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelecology.jobs.intents import DataRef, SealedRef, UnitRange, in_shadow_split
from modelecology.store import ArtifactStore
from modelecology.workloads.errors import (
    DataContaminated,
    DataDigestMismatch,
    DataEmpty,
    DataInvalid,
    DataNotFound,
)
from modelecology.workloads.rows import (
    NAME_LIMIT,
    eval_items,
    items_of_task,
    refuse_contamination,
    train_rows,
)
from tests.workloads.orders import Orders, data_ref

PLACES = ArtifactStore.open("file:///nowhere").places
GOOD = '{"id":"a","prompt":"p","answer":"x"}'


def written(tmp_path: Path, content: str | bytes) -> DataRef:
    """Write a data file and name it by its digest."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return data_ref(path)


def test_rows_keep_their_order_and_blank_lines_do_not_count(tmp_path: Path) -> None:
    rows = train_rows(written(tmp_path, f"{GOOD}\n\n{GOOD.replace('a', 'b', 1)}\n"), PLACES)
    assert [row.prompt for row in rows] == ["p", "p"]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085"])
def test_only_a_line_feed_ends_a_line(tmp_path: Path, mark: str) -> None:
    plain = {"id": "a", "prompt": f"p{mark}q", "answer": f"x{mark}y"}
    text = json.dumps(plain, ensure_ascii=False) + "\r\n" + GOOD.replace("a", "b", 1)
    assert [row.prompt for row in train_rows(written(tmp_path, text), PLACES)] == [f"p{mark}q", "p"]
    assert [item.answer for item in eval_items(written(tmp_path, text), PLACES)] == [f"x{mark}y", "x"]


@pytest.mark.parametrize("name", ["id", "cluster"])
def test_a_long_name_of_an_item_is_refused_by_its_line(tmp_path: Path, name: str) -> None:
    def items(length: int) -> DataRef:
        plain = {"id": "b", "prompt": "p", "answer": "x"} | {name: "n" * length}
        return written(tmp_path, f"{GOOD}\n{json.dumps(plain)}\n")

    assert len(eval_items(items(NAME_LIMIT), PLACES)) == 2
    with pytest.raises(DataInvalid, match=rf"rows\.jsonl line 2 .*{name}: .*200 characters"):
        eval_items(items(NAME_LIMIT + 1), PLACES)


def test_a_missing_file_is_not_found() -> None:
    with pytest.raises(DataNotFound, match="mend the uri"):
        train_rows(DataRef(uri="file:///not/there", digest=f"sha256:{'0' * 64}"), PLACES)
    with pytest.raises(DataNotFound):
        train_rows(DataRef(uri="s3://bucket/x", digest=f"sha256:{'0' * 64}"), PLACES)


def test_a_changed_file_is_told_by_its_digest(tmp_path: Path) -> None:
    ref = written(tmp_path, GOOD)
    (tmp_path / "rows.jsonl").write_text(GOOD + "\n")
    with pytest.raises(DataDigestMismatch, match=ref.digest):
        train_rows(ref, PLACES)


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ('{"id":"b","prompt":', "JSON"),
        ("[]", "object"),
        ('{"id":"b","answer":"x"}', "prompt"),
        ('{"id":"b","prompt":"p"}', "answer"),
        ('{"id":"b","prompt":"p","answer":""}', "answer"),
        ('{"id":7,"prompt":"p","answer":"x"}', "id"),
        (GOOD, "repeats the id 'a' of line 1"),
    ],
)
def test_a_broken_line_is_named_by_file_and_number(tmp_path: Path, line: str, cause: str) -> None:
    with pytest.raises(DataInvalid, match=rf"rows\.jsonl line 2 .*{cause}"):
        train_rows(written(tmp_path, f"{GOOD}\n{line}\n"), PLACES)


def test_a_line_that_is_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="line 2"):
        train_rows(written(tmp_path, GOOD.encode() + b'\n{"id":"\xff"}\n'), PLACES)


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_file_without_rows_is_empty(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataEmpty, match="no rows"):
        train_rows(written(tmp_path, content), PLACES)


def test_training_rows_of_the_sealed_suite_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    train = "".join(
        json.dumps({"id": f"t{number}", "prompt": f"Question  {number}", "answer": "x"}) + "\n"
        for number in range(5)
    )
    (tmp_path / "train.jsonl").write_text(train)
    sealed = "".join(
        json.dumps({"id": f"e{number}", "prompt": f"question {number}\n"}) + "\n" for number in (3, 2, 9)
    )
    ref = data_ref(tmp_path / "train.jsonl")
    suite = SealedRef(task="quiz", data=written(tmp_path, sealed))
    with pytest.raises(DataContaminated, match=r"2 of 5 rows .*first 't2' \(task quiz\)"):
        refuse_contamination(train_rows(ref, PLACES), ref.uri, (suite,), PLACES)
    refuse_contamination(train_rows(ref, PLACES)[:2], ref.uri, (suite,), PLACES)


def test_the_two_sides_of_the_split_make_the_whole_and_keep_clusters_together(orders: Orders) -> None:
    task = orders.task("code")
    main = items_of_task(task, orders.store.places)
    shadow = items_of_task(task.model_copy(update={"split": "Shadow"}), orders.store.places)
    assert {item.id for item in main} | {item.id for item in shadow} == {
        item.id for item in eval_items(task.data, orders.store.places)
    }
    assert not {item.cluster for item in main} & {item.cluster for item in shadow}
    assert all(in_shadow_split(item.cluster, 0.25) for item in shadow)


def test_a_split_side_without_items_is_empty(orders: Orders) -> None:
    task = orders.task("code").model_copy(update={"split": "Shadow", "shadow_share": 0.0})
    with pytest.raises(DataEmpty, match="Shadow"):
        items_of_task(task, orders.store.places)


def test_ranges_of_units_make_the_whole_once_and_keep_clusters_together(
    tmp_path: Path, orders: Orders
) -> None:
    rows = [{"id": str(n), "cluster": f"c{n // 2}", "prompt": "p", "answer": "x"} for n in range(60)]
    data = written(tmp_path, "".join(json.dumps(row) + "\n" for row in rows))
    task = orders.task("code", data=data)
    whole = items_of_task(task, PLACES)
    clusters = len({item.cluster for item in whole})

    def part(first: int, last: int) -> tuple[str, ...]:
        units = UnitRange(seed="seed", first=first, last=last)
        return tuple(i.id for i in items_of_task(task.model_copy(update={"units": units}), PLACES))

    assert sorted(part(0, 7) + part(7, clusters)) == sorted(item.id for item in whole)
    assert len({int(name) // 2 for name in part(0, 7)}) == 7
    assert part(0, 7) != tuple(item.id for item in whole)[:14]  # in the seed's order, not the file's
    for first, last in ((clusters, clusters + 1), (0, clusters + 1), (3, 3)):
        with pytest.raises(DataEmpty, match=rf"has {clusters} clusters, and {first} up to {last}"):
            part(first, last)


def test_an_item_that_lacks_what_its_scorer_needs_is_named(tmp_path: Path, orders: Orders) -> None:
    bare = written(tmp_path, '{"id":"q","prompt":"p"}\n')
    with pytest.raises(DataInvalid, match="'q' has no answer"):
        items_of_task(orders.task("code", data=bare), PLACES)
    lonely = written(tmp_path, '{"id":"q","prompt":"p","answer":"x","choices":["y","z"]}\n')
    with pytest.raises(DataInvalid, match="'q' needs two or more choices"):
        items_of_task(orders.task("code", data=lonely, scorer="Choice"), PLACES)
