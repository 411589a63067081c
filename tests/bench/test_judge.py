"""The bench of judges counts what passed."""

from __future__ import annotations

import pytest

from bench import judge


def test_it_tells_for_each_case_how_many_runs_passed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["judge", "--runs", "1", "--copies", "2000", "--step", "1000"])
    monkeypatch.setattr(judge, "CASES", (judge.Case(0.0, 0.0, 0.1), judge.Case(0.4, 0.0, 0.1)))
    judge.main()
    _, nothing, much = capsys.readouterr().out.splitlines()
    assert nothing.split("0.10")[1].split() == ["0", "0"]
    assert much.split("0.10")[1].split() == ["1", "(1000)", "1", "(1000)"]
