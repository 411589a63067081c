"""An adapter from elsewhere is admitted by content, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelecology.store import directory_digest
from modelecology.workloads.adapter import CONFIG, WEIGHTS
from modelecology.workloads.errors import AdapterUnsound, ArtifactDigestMismatch, ArtifactNotFound
from modelecology.workloads.importing import import_adapter
from modelecology.workloads.meter import Meter
from modelecology.workloads.train import train
from tests.workloads.orders import Orders


@pytest.fixture
def adapter(orders: Orders, tmp_path: Path) -> Path:
    """An adapter as peft would leave it, with a path and other traces in its config."""
    intent = orders.train()
    train(intent, orders.store, Meter())
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    (directory / WEIGHTS).write_bytes(orders.store.read(intent.key, WEIGHTS))
    config = json.loads(orders.store.read(intent.key, CONFIG))
    config |= {"base_model_name_or_path": "/home/someone/base", "peft_version": "0.21.2", "revision": None}
    (directory / CONFIG).write_text(json.dumps(config))
    return directory


def test_a_sound_adapter_is_copied_and_its_config_normalised(orders: Orders, adapter: Path) -> None:
    intent = orders.admit(adapter)
    import_adapter(intent, orders.store, Meter())
    manifest = orders.store.verify(intent.key)
    assert manifest.kind == "Import"
    assert manifest.meta["imported"] == directory_digest(str(adapter))
    assert manifest.meta["rank"] == orders.desk.lora["rank"]
    assert b"someone" not in orders.store.read(intent.key, CONFIG)
    assert orders.store.read(intent.key, WEIGHTS) == (adapter / WEIGHTS).read_bytes()


def test_an_import_of_what_was_trained_here_is_the_same_adapter(orders: Orders, adapter: Path) -> None:
    intent = orders.admit(adapter)
    import_adapter(intent, orders.store, Meter())
    trained = orders.store.manifest(orders.train().key)
    assert orders.store.manifest(intent.key).meta["digest"] == trained.meta["digest"]


def test_a_repeated_import_adopts_the_first(orders: Orders, adapter: Path) -> None:
    intent = orders.admit(adapter)
    first = import_adapter(intent, orders.store, Meter())
    (adapter / WEIGHTS).unlink()
    assert import_adapter(intent, orders.store, Meter()) == first


def test_another_digest_is_refused_and_nothing_is_left(orders: Orders, adapter: Path) -> None:
    intent = orders.admit(adapter, digest=f"sha256:{'3' * 64}")
    with pytest.raises(ArtifactDigestMismatch, match=directory_digest(str(adapter))):
        import_adapter(intent, orders.store, Meter())
    assert orders.store.commit_of(intent.key) is None


def test_a_missing_adapter_is_not_found(orders: Orders, tmp_path: Path) -> None:
    intent = orders.admit(tmp_path / "none", digest=f"sha256:{'3' * 64}")
    with pytest.raises(ArtifactNotFound, match="Mend the uri"):
        import_adapter(intent, orders.store, Meter())


def test_a_rank_above_the_limit_is_refused(orders: Orders, adapter: Path) -> None:
    with pytest.raises(AdapterUnsound, match="r is 4 and must be from 1 to 2"):
        import_adapter(orders.admit(adapter, max_rank=2), orders.store, Meter())


def test_a_pickle_beside_the_weights_is_refused(orders: Orders, adapter: Path) -> None:
    (adapter / "training_args.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(AdapterUnsound, match=r"training_args\.bin must not be there"):
        import_adapter(orders.admit(adapter), orders.store, Meter())
