"""How lint's findings read: one line each, as compilers write them, and a summary."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from .findings import Finding, LintResult, Severity

_STYLES = {Severity.ERROR: "bold red", Severity.NOTE: "yellow"}


def render_lint(result: LintResult) -> Text:
    """Write `file:line: error: Kind/name: field: message remedy`, line by line, then what was checked."""
    lines = [_line(finding) for finding in result.findings]
    return Text("\n").join([*lines, _summary(result)])


def _line(finding: Finding) -> Text:
    text = Text(f"{finding.place.file}:{finding.place.line}: ")
    text.append(f"{finding.severity}: ", style=_STYLES[finding.severity])
    text.append(f"{finding.subject}: ")
    if finding.field:
        text.append(f"{finding.field}: ", style="bold")
    text.append(finding.message)
    if finding.remedy:
        text.append(f" {finding.remedy}", style="dim")
    return text


def _summary(result: LintResult) -> Text:
    errors = len(result.errors)
    parts = [_count(result.checked, "document") + " checked"]
    if result.skipped:
        parts.append(f"{result.skipped} skipped")
    parts.append(_count(errors, "error") if errors else "no errors")
    notes = len(result.findings) - errors
    if notes:
        parts.append(_count(notes, "note"))
    return Text(", ".join(parts) + ".", style="green" if result.ok else "red")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def result_record(result: LintResult) -> dict[str, Any]:
    """Record the findings for programs."""
    return {
        "ok": result.ok,
        "checked": result.checked,
        "skipped": result.skipped,
        "findings": [
            {
                "severity": f.severity.value,
                "file": f.place.file,
                "line": f.place.line,
                "column": f.place.column,
                "subject": f.subject,
                "field": f.field,
                "message": f.message,
                "remedy": f.remedy,
            }
            for f in result.findings
        ],
    }
