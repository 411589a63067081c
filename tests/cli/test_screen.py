"""What reaches a terminal: words, and no commands."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from modelecology.cli.screen import Screen

SAID = "a\x1b]0;title\x07b\x9b2Jc\nd"


@pytest.mark.parametrize("terminal", [True, False])
def test_what_others_say_commands_no_terminal_and_is_piped_as_it_is(terminal: bool) -> None:
    out, err = io.StringIO(), io.StringIO()
    screen = Screen(
        out=Console(file=out, force_terminal=terminal, color_system=None),
        err=Console(file=err, force_terminal=terminal, color_system=None),
    )
    screen.text(SAID)
    screen.fail(SAID, "Mend it.")
    for written in (out.getvalue(), err.getvalue()):
        assert ("\x1b" in written, "\x9b" in written) == (not terminal, not terminal)
        assert "2Jc\nd\n" in written
