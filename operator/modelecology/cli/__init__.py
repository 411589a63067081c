"""`kubectl ecology`, the command-line plugin."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the plugin; exits with 0, with 1 on a failure told in a sentence, or with 2 on wrong usage."""
    try:
        # Bound late: the operator's own image has no typer and no rich.
        from .app import app
        from .port import CliError
        from .screen import Screen
    except ModuleNotFoundError as error:
        print(f"{error.name} is missing; install modelecology[cli].", file=sys.stderr)
        raise SystemExit(1) from error
    try:
        app(prog_name="kubectl ecology")
    except CliError as error:
        Screen().fail(error.message, error.remedy)
        raise SystemExit(1) from None
