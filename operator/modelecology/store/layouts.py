"""The store's layouts: which one is there, and how one of an earlier version becomes today's.

1   archived artifacts lie below archive/<key>, a deletion went through trash/
2   an artifact stays where it is; its marker says whether it is in use
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from pydantic import BaseModel, ValidationError

from modelecology.store.errors import ArtifactCorrupt, StoreFormatUnknown, StoreUnavailable
from modelecology.store.files import LARGEST_RECORD, Files, sync_directory
from modelecology.store.markers import MARKER, marker_place
from modelecology.store.records import Marker, Standing, dump_marker, load_marker

_LOG = logging.getLogger(__name__)
FORMAT = 2
PLACE = "store.json"
_OURS = re.compile(r"[0-9a-f]{64}(-[0-9a-f]+)?")
NO_STAMP = '"00000000000000000000000000000000"'


class _FormatRecord(BaseModel):
    format: int


def _content(layout: int) -> bytes:
    return b'{"format":%d}\n' % layout


def check_layout(files: Files, *, write: bool) -> bool:
    """See that the layout is today's, and make it so; says whether there is one. With `write` there is.

    Raises StoreFormatUnknown for a newer one, StoreUnavailable for a record that cannot be read and for a
    service that ignores the conditions of a put.
    """
    seen = files.look(PLACE, limit=LARGEST_RECORD)
    if seen is None:
        if not write:
            return False
        _lay_out(files)
        seen = files.look(PLACE, limit=LARGEST_RECORD)
    try:
        found = _FormatRecord.model_validate_json((seen.content if seen else None) or b"").format
    except ValidationError as error:
        raise StoreUnavailable(f"{files.where(PLACE)} cannot be read; restore it.") from error
    if found > FORMAT:
        raise StoreFormatUnknown(
            f"The store has layout {found} and this version knows up to {FORMAT}; upgrade Model Ecology."
        )
    if found < FORMAT and seen is not None:
        _bring_archive_home(files)
        files.swap(PLACE, _content(FORMAT), seen.stamp)
    return True


def _lay_out(files: Files) -> None:
    """Write the layout's version, and see at once whether what is conditional here is so."""
    content = _content(FORMAT)
    if not files.create(PLACE, content):
        return
    if files.create(PLACE, content) or files.swap(PLACE, content, NO_STAMP):
        files.remove(PLACE)
        raise StoreUnavailable(
            f"What serves {files.where('')} ignores If-None-Match and If-Match, so two jobs could both "
            "commit; use a service that keeps the conditions of a put."
        )


def _bring_archive_home(files: Files) -> None:
    """Lay what layout 1 archived beside the rest, marked as archived; cut short, it is done again."""
    for key in _folders(files, "archive"):
        place = f"archive/{key}"
        seen = files.look(f"{place}/{MARKER}", limit=LARGEST_RECORD)
        try:
            commit = load_marker(key, seen.content or b"").commit if seen is not None else None
        except ArtifactCorrupt:
            # It is left where it is, for a person: it must not keep all others from being used.
            _LOG.error("%s cannot be read and is left as it is; restore or remove it", files.where(place))
            continue
        # What was made again since then is in use, and the same.
        if commit is not None and files.look(marker_place(key)) is None:
            for name, _entry in list(files.scan(place)):
                source = files.local(f"{place}/{name}")
                if name != MARKER and source is not None:
                    _bring(files, f"artifacts/{key}/{name}", source)
            files.create(marker_place(key), dump_marker(Marker(Standing.ARCHIVED, commit)))
        files.remove(place)
    for name in _folders(files, "trash"):
        files.remove(f"trash/{name}")
    for place in ("archive", "trash"):
        files.tidy(place)


def _bring(files: Files, relative: str, source: Path) -> None:
    """Lay a file at another place by a second link: a full volume must not keep what is on it from use."""
    target = files.local(relative)
    try:
        if target is None:
            raise FileNotFoundError(relative)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)
        sync_directory(target.parent)
    except FileExistsError:
        return
    except OSError:
        files.upload(relative, source)


def _folders(files: Files, place: str) -> list[str]:
    """List what is ours below a place; a user's files may lie there too."""
    found = {name.partition("/")[0] for name, _entry in files.scan(place)}
    return sorted(name for name in found if _OURS.fullmatch(name))
