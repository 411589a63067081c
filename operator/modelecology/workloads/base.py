"""Checks the generalist's directory before anything is loaded from it. No torch here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from modelecology.jobs.intents import DataRef
from modelecology.store import PlaceNotFound, Places, directory_digest
from modelecology.workloads.errors import BaseDigestMismatch, BaseNotCausalLM, BaseNotFound
from modelecology.workloads.safetensors_header import HeaderUnsound, read_header


@dataclass(frozen=True, slots=True)
class Base:
    """A base whose content is what its digest says."""

    path: Path
    digest: str


def checked_base(ref: DataRef, places: Places) -> Base:
    """Find the base and check it; raises BaseNotFound, BaseDigestMismatch, BaseNotCausalLM."""
    try:
        path = places.directory(ref.uri, ref.digest)
        digest = directory_digest(str(path))
    except PlaceNotFound as error:
        raise BaseNotFound(
            f"The base {ref.uri} cannot be read: {error} Mend the uri or prepare it."
        ) from error
    if digest != ref.digest:
        raise BaseDigestMismatch(
            f"The base {ref.uri} has digest {digest}, not {ref.digest}; mend the directory or the digest."
        )
    try:
        config = json.loads((path / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise BaseNotFound(f"The base {ref.uri} has no readable config.json; prepare it anew.") from error
    names = config.get("architectures") if isinstance(config, dict) else None
    if not isinstance(names, list) or not any(str(name).endswith("ForCausalLM") for name in names):
        raise BaseNotCausalLM(f"The base {ref.uri} is not a causal language model: architectures is {names}.")
    if "auto_map" in config:
        raise BaseNotCausalLM(
            f"The base {ref.uri} wants to run code of its own (auto_map); use one that does not."
        )
    return Base(path, digest)


def linear_shapes(base: Base) -> dict[str, tuple[int, int]]:
    """Give the shape (out, in) of every projection in the layers, by module; raises BaseNotFound."""
    shapes: dict[str, tuple[int, int]] = {}
    for path in sorted(base.path.glob("*.safetensors")):
        try:
            header = read_header(path)
        except HeaderUnsound as error:
            raise BaseNotFound(f"The base's {path.name} cannot be read: {error}.") from error
        for name, entry in header.tensors.items():
            if ".layers." in name and name.endswith("_proj.weight") and len(entry.shape) == 2:
                shapes[name.removesuffix(".weight")] = (entry.shape[0], entry.shape[1])
    if not shapes:
        raise BaseNotFound(f"The base at {base.path} has no projections in safetensors; prepare it anew.")
    return shapes
