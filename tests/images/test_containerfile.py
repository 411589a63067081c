"""What every image promises can be read in the Containerfile."""

from __future__ import annotations

import json
import re

import pytest

from testbed.images.build import CODE_LABEL, TARGETS
from testbed.places import REPOSITORY

_TEXT = (REPOSITORY / "images" / "Containerfile").read_text(encoding="utf-8")
_LABELS = (
    "org.opencontainers.image.title",
    "org.opencontainers.image.version",
    "org.opencontainers.image.revision",
    "org.opencontainers.image.created",
    "org.opencontainers.image.licenses",
    CODE_LABEL,
)


def _instructions() -> list[tuple[str, str]]:
    joined = re.sub(r"^#.*\n", "", _TEXT, flags=re.MULTILINE).replace("\\\n", " ")
    words = (line.split(maxsplit=1) for line in joined.splitlines() if line.strip())
    return [(instruction, rest) for instruction, rest in words]


def _stage(target: str) -> list[tuple[str, str]]:
    """The instructions of a stage, without its FROM."""
    found: list[tuple[str, str]] = []
    inside = False
    for instruction, rest in _instructions():
        if instruction == "FROM":
            inside = rest.endswith(f" AS {target}")
        elif inside:
            found.append((instruction, rest))
    return found


def test_the_base_is_the_first_argument_and_has_a_default_that_is_no_moving_tag() -> None:
    instruction, rest = _instructions()[0]
    assert instruction == "ARG"
    name, default = rest.split("=")
    assert name == "BASE"
    assert re.fullmatch(r"[a-z0-9./-]+:3\.1[12]-slim-[a-z]+", default)


def test_every_stage_is_made_of_the_base_or_of_another_stage() -> None:
    froms = [rest.split() for instruction, rest in _instructions() if instruction == "FROM"]
    stages = [words[-1] for words in froms]
    assert all(words[1] == "AS" for words in froms)
    for position, (origin, *_) in enumerate(froms):
        assert origin in ("${BASE}", "scratch", *stages[:position])


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_ends_with_a_numeric_user_that_is_not_root(target: str) -> None:
    users = [rest for instruction, rest in _stage(target) if instruction == "USER"]
    assert users == ["65532:65532"]
    last_run = max(i for i, (instruction, _) in enumerate(_stage(target)) if instruction == "RUN")
    assert ("USER", "65532:65532") in _stage(target)[last_run:]


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_says_what_it_is(target: str) -> None:
    labels = " ".join(rest for instruction, rest in _stage(target) if instruction == "LABEL")
    assert set(_LABELS) <= set(re.findall(r"([a-z.-]+)=", labels))
    assert f'title="modelecology-{target}"' in labels


def test_nothing_is_started_by_a_shell() -> None:
    started = [rest for instruction, rest in _instructions() if instruction in ("ENTRYPOINT", "CMD")]
    assert started
    assert all(isinstance(json.loads(rest), list) for rest in started)


def test_nothing_is_downloaded_but_pinned_packages() -> None:
    assert "latest" not in _TEXT
    assert not re.search(r"https?://|\bcurl\b|\bADD\b", _TEXT)


def test_what_the_building_machine_lends_is_only_mounted() -> None:
    assert not re.search(r"COPY --from=(client|tools|wheel)", _TEXT)
    assert not re.search(r"ARG \w*(INDEX|TOKEN|PASSWORD|CERT|PROXY)", _TEXT)


def test_the_tools_are_pinned_by_hash() -> None:
    pins = (REPOSITORY / "images" / "tools.txt").read_text(encoding="utf-8")
    wanted = (REPOSITORY / "images" / "tools.in").read_text(encoding="utf-8")
    entries = [entry for entry in re.split(r"\n(?=\S)", pins) if not entry.startswith("#")]
    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)
    for line in wanted.splitlines():
        if not line.startswith("#"):
            name, version = re.sub(r"\[.*?\]", "", line).split("==")
            assert any(entry.startswith(f"{name}=={version} ") for entry in entries), f"{name} is not pinned"
