"""The bench of classifiers counts what was opened."""

from __future__ import annotations

import pytest

from bench import misrouting


def test_it_tells_for_each_accuracy_how_many_runs_were_opened_and_when(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["misrouting", "--runs", "2", "--answers", "300"])
    monkeypatch.setattr(misrouting, "ACCURACIES", (0.5, 1.0))
    misrouting.main()
    _, bad, good = capsys.readouterr().out.splitlines()
    assert bad.split() == ["accuracy", "0.5", "0", "0"]
    assert good.split() == ["accuracy", "1", "2", "(100)", "2", "(100)"]
