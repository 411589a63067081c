"""Renders argocd-cm.yaml from resource_customizations/: python manifests/argocd/render.py [--check]."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
TREE = HERE / "resource_customizations"
RENDERED = HERE / "argocd-cm.yaml"
_HEAD = """\
# Rendered from resource_customizations/ by `python manifests/argocd/render.py`; edit that.
# Health and actions of the kinds of modelecology.io, for the ConfigMap of Argo CD. It holds these keys only:
# lay it over yours with kustomize, or by `kubectl apply --server-side -n argocd -f argocd-cm.yaml`.
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  labels:
    app.kubernetes.io/name: argocd-cm
    app.kubernetes.io/part-of: argocd
data:
"""


def render(tree: Path) -> str:
    """Give the ConfigMap of all kinds in a tree that is laid out as Argo CD's own."""
    keys = [block for kind in sorted(tree.glob("*/*")) for block in _keys(kind)]
    return _HEAD + textwrap.indent("".join(keys), "  ")


def _keys(kind: Path) -> Iterator[str]:
    name = f"{kind.parent.name}_{kind.name}"
    yield _text(f"resource.customizations.health.{name}", (kind / "health.lua").read_text())
    discovery = kind / "actions" / "discovery.lua"
    if discovery.exists():
        yield _text(f"resource.customizations.actions.{name}", _actions(discovery))


def _actions(discovery: Path) -> str:
    scripts = sorted(discovery.parent.glob("*/action.lua"))
    each = [
        f"- name: {s.parent.name}\n" + textwrap.indent(_text("action.lua", s.read_text()), "  ")
        for s in scripts
    ]
    return _text("discovery.lua", discovery.read_text()) + "definitions:\n" + "".join(each)


def _text(key: str, text: str) -> str:
    """Write one key of a mapping whose value is a text of several lines."""
    return f"{key}: |\n{textwrap.indent(text, '  ')}"


def main(arguments: list[str]) -> int:
    """Write the file, or with --check only say whether it is what would be written; gives the exit code."""
    found = render(TREE)
    if arguments == ["--check"]:
        if RENDERED.read_text() == found:
            return 0
        print(f"{RENDERED.name} is not what resource_customizations/ says. Run: python {sys.argv[0]}")
        return 1
    RENDERED.write_text(found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
