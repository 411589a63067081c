"""The docs' page is what the table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelecology.governance.diagram import BEGIN, END, block, main, mermaid, rendered, table
from modelecology.governance.lifecycle import TRANSITIONS

PAGE = Path(__file__).parents[2] / "docs" / "lifecycle.md"


def test_the_page_in_the_docs_is_up_to_date() -> None:
    assert main(["--check", "--page", str(PAGE)]) == 0


def test_every_transition_is_a_row_and_every_arrow_a_transition() -> None:
    assert len(table().splitlines()) == len(TRANSITIONS) + 2
    edges = {(str(e.source), str(e.target)) for e in TRANSITIONS}
    arrows = [line.split(":")[0].split("-->") for line in mermaid().splitlines()[2:-1]]
    assert {(a.strip(), b.strip()) for a, b in arrows} <= edges
    assert len(arrows) == len({(a, b) for a, b in arrows})


def test_the_row_of_a_promotion_says_when_a_person_is_asked() -> None:
    (row,) = [line for line in table().splitlines() if line.startswith("| Shadow | Promote |")]
    assert "PortfolioGain, LiveGain (if shadow.live is set), Approved (if promotion.mode is Manual) |" in row


def test_a_page_that_is_out_of_date_is_found_and_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "lifecycle.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    assert main(["--check", "--page", str(page)]) == 1
    assert "is out of date" in capsys.readouterr().err
    assert main(["--page", str(page)]) == 0
    assert page.read_text(encoding="utf-8") == f"before\n{block()}\nafter\n"
    assert main(["--check", "--page", str(page)]) == 0


@pytest.mark.parametrize(("page", "lacking"), [("nothing", "begin"), (f"{BEGIN} only", "end")])
def test_a_page_without_its_marks_is_refused(page: str, lacking: str) -> None:
    with pytest.raises(ValueError, match=lacking):
        rendered(page)
