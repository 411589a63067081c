"""What reaches a terminal: words, and no commands."""

from __future__ import annotations

import io

import pytest
from rich.table import Table
from rich.text import Text

from modelecology.cli.screen import QuietConsole, Screen

SAID = "a\x1b]0;title\x07b\x9b2Jc\nd"


@pytest.mark.parametrize("terminal", [True, False])
def test_what_others_say_commands_no_terminal_and_is_piped_as_it_is(terminal: bool) -> None:
    files = [io.StringIO(), io.StringIO()]
    out, err = (QuietConsole(file=f, force_terminal=terminal, color_system=None, width=80) for f in files)
    screen = Screen(out=out, err=err)
    table = Table("said")
    table.add_row(SAID)
    for show in (screen.text, lambda said: screen.lines(Text(said)), lambda _: screen.show(table)):
        show(SAID)
        written = files[0].getvalue()
        assert ("\x1b" in written, "\x9b" in written) == (not terminal, not terminal)
        assert "2Jc" in written
        files[0].seek(0)
        files[0].truncate()
    screen.fail(SAID, "Mend it.")
    assert ("\x1b" in files[1].getvalue()) == (not terminal)


def test_a_terminal_still_gets_our_own_colours() -> None:
    file = io.StringIO()
    console = QuietConsole(file=file, force_terminal=True, color_system="standard", width=80)
    Screen(out=console, err=console).fail("No.", "")
    assert "\x1b[31m" in file.getvalue()
