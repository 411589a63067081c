"""The generalist comes from a package as bytes that are equal everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelecology.store import directory_digest
from modelecology.workloads.__main__ import main
from modelecology.workloads.errors import BaseNotFound
from modelecology.workloads.prepare_base import bundled_gguf, prepare_base
from testbed.quickstart import BASE_DIGEST


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_prepared_generalist_has_the_pinned_digest(tmp_path: Path) -> None:
    out = tmp_path / "base"
    assert prepare_base(bundled_gguf(), out) == BASE_DIGEST
    assert [path.name for path in tmp_path.iterdir()] == ["base"]
    assert prepare_base(tmp_path / "no longer needed", out) == directory_digest(str(out))


def test_a_missing_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BaseNotFound, match="mend --gguf"):
        prepare_base(tmp_path / "none.gguf", tmp_path / "base")
    assert main(["prepare-base", "--gguf", str(tmp_path / "none.gguf"), "--out", str(tmp_path / "b")]) == 1
    assert "none.gguf" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
