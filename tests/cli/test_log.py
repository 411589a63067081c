"""`kubectl ecology log`: a whole log verified, and rebuilt on a cluster that has lost everything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from modelecology.api.decision import Decision
from modelecology.api.ledger import Tip
from modelecology.api.meta import LOG_UID_ANNOTATION
from modelecology.api.population import Population
from modelecology.cli import options
from modelecology.cli.offline import Offline
from modelecology.cli.replays import entry
from modelecology.governance.log import LogBroken
from modelecology.reconcile.log_copy import LogCopy
from modelecology.store import ArtifactStore
from modelecology.store.logs import StoredLog
from modelecology.store.signing import signer

from .conftest import Run
from .played import PlayedCluster, played


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> tuple[PlayedCluster, Path]:
    """The objects of a desk, and where its store lies."""
    directory = tmp_path_factory.mktemp("played")
    return played(directory), directory / "store"


@pytest.fixture
def cluster(desk: tuple[PlayedCluster, Path]) -> PlayedCluster:
    """A copy that a test may change."""
    return replace(desk[0], annotations={})


@pytest.fixture
def store(desk: tuple[PlayedCluster, Path], tmp_path: Path) -> Path:
    """A copy of the store that a test may change."""
    for name in ("log", "inputs"):
        shutil.copytree(desk[1] / name, tmp_path / name)
    shutil.copy(desk[1] / "store.json", tmp_path)
    return tmp_path


@pytest.fixture
def run(cluster: PlayedCluster, shell: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the plugin as the shell does; gives its exit code, stdout and stderr."""
    monkeypatch.setattr(options, "connect", lambda _access: cluster)
    return shell


def entry_file(store: Path, sequence: int) -> Path:
    (found,) = store.glob(f"log/*/entries/{sequence:012d}.json")
    return found


def test_a_whole_log_is_told_in_one_line_with_its_tip(run: Run, cluster: PlayedCluster) -> None:
    last = cluster.decided[-1].spec
    code, out, _ = run("log", "verify", "desk")
    assert code == 0
    assert out.startswith(f"Whole: {last.sequence} decisions, the last with digest {last.digest}")
    assert run("log", "verify", "desk", "--tip", f"{last.sequence}:{last.digest}")[0] == 0
    record = json.loads(run("log", "verify", "desk", "-o", "json")[1])
    assert (record["whole"], record["decisions"]) == (True, last.sequence)
    assert run("log", "verify", "desk", "--tip", "the last")[0] == 2


def test_the_first_break_is_told_in_one_line(run: Run, cluster: PlayedCluster) -> None:
    spec = cluster.decided[11].spec.model_copy(update={"message": "All is well."})
    forged = cluster.decided[11].model_copy(update={"spec": spec})
    cluster.decided = (*cluster.decided[:11], forged, *cluster.decided[12:])
    code, out, _ = run("log", "verify", "desk")
    assert (code, out) == (1, "Broken: decision 12 is another one in the cluster than in the store.\n")
    code, out, _ = run("log", "verify", "desk", "--without-store")
    assert (code, out) == (1, "Broken: decision 12 was changed: its digest does not match its body.\n")
    record = json.loads(run("log", "verify", "desk", "-o", "json")[1])
    assert record["whole"] is False


def test_a_lost_end_is_found_by_the_store_by_a_status_and_by_a_tip_that_was_noted(
    run: Run, cluster: PlayedCluster, store: Path
) -> None:
    tip = cluster.decided[-1].spec
    cluster.decided = cluster.decided[:-1]
    code, out, _ = run("log", "verify", "desk", "--store", f"file://{store}")
    assert (code, out) == (
        1,
        f"Broken: decision {tip.sequence} is missing in the cluster; the store keeps it.\n",
    )
    entry_file(store, tip.sequence).unlink()
    code, out, _ = run("log", "verify", "desk", "--store", f"file://{store}")
    assert (code, f"names decision {tip.sequence}, but the log ends" in out) == (1, True)
    cluster.populations = tuple(
        p.model_copy(update={"status": p.status.model_copy(update={"last_decision": None})})
        for p in cluster.populations
    )
    cluster.specialists = ()
    # Nothing names it any more: what is left is a whole log.
    assert run("log", "verify", "desk", "--store", f"file://{store}")[0] == 0
    noted = f"{tip.sequence}:{tip.digest}"
    code, out, _ = run("log", "verify", "desk", "--store", f"file://{store}", "--tip", noted)
    assert (code, f"--tip names decision {tip.sequence}" in out) == (1, True)


def test_inputs_that_are_gone_break_the_log(run: Run, cluster: PlayedCluster, store: Path) -> None:
    first = next(d for d in cluster.decided if d.spec.premises.inputs)
    digest = str(first.spec.premises.inputs)
    (store / "inputs" / f"{digest.removeprefix('sha256:')}.json").unlink()
    code, out, _ = run("log", "verify", "desk", "--store", f"file://{store}")
    assert (code, out.startswith(f"Broken: decision {first.spec.sequence} was made from {digest}")) == (
        1,
        True,
    )


def lost(cluster: PlayedCluster) -> tuple[Decision, ...]:
    """Lose the control plane's data: the same manifests are there again, under other uids; gives the log."""
    before, cluster.decided = cluster.decided, ()
    cluster.populations = tuple(
        p.model_copy(update={"metadata": p.metadata.model_copy(update={"uid": f"new-{p.metadata.uid}"})})
        for p in cluster.populations
    )
    cluster.specialists = tuple(
        s.model_copy(update={"metadata": s.metadata.model_copy(update={"uid": f"new-{s.metadata.uid}"})})
        for s in cluster.specialists
    )
    return before


def test_a_lost_log_is_rebuilt_entry_by_entry_and_everybody_takes_the_old_place(
    run: Run, cluster: PlayedCluster, desk: tuple[PlayedCluster, Path]
) -> None:
    before = lost(cluster)
    code, out, err = run("log", "rebuild", "desk")
    assert code == 0, err
    assert out.startswith(f"{len(before)} decisions of desk were created, up to {before[-1].spec.sequence}.")
    assert [d.spec for d in cluster.decided] == [d.spec for d in before]
    assert {d.metadata.name for d in cluster.decided} == {d.metadata.name for d in before}
    (old,) = (p.metadata.uid for p in desk[0].populations if p.metadata.name == "desk")
    assert cluster.annotations["desk", LOG_UID_ANNOTATION] == f"desk/{old}"
    for specialist in desk[0].specialists:
        name = specialist.metadata.name
        if any(d.spec.subject.uid == specialist.metadata.uid for d in before):
            assert cluster.annotations[name, LOG_UID_ANNOTATION] == f"{name}/{specialist.metadata.uid}"
        else:
            assert (name, LOG_UID_ANNOTATION) not in cluster.annotations
    assert run("log", "rebuild", "desk")[1].startswith("0 decisions of desk were created")


def test_what_is_sealed_stays_in_the_store_and_the_rest_is_created(
    run: Run, cluster: PlayedCluster, store: Path
) -> None:
    (uid,) = (p.name for p in (store / "log").iterdir())
    copy = LogCopy(lambda: ArtifactStore.open(f"file://{store}"), uid, "d", "desk")
    for _ in range(2):
        copy.seal([entry(d) for d in cluster.decided], 10)
    copy.release()
    code, out, _ = run("log", "verify", "desk", "--store", f"file://{store}")
    assert (code, "2 segments" in out) == (0, True)
    before = lost(cluster)
    out = run("log", "rebuild", "desk", "--store", f"file://{store}")[1]
    assert "; 20 older ones stay in the store, sealed." in out
    assert [d.spec for d in cluster.decided] == [d.spec for d in before[20:]]
    assert run("log", "verify", "desk", "--without-store")[0] == 1
    (segment, *_) = sorted(store.glob(f"log/{uid}/segment-*"))
    segment.write_bytes(segment.read_bytes().replace(b'"Pass"', b'"Fail"', 1))
    code, _, err = run("log", "rebuild", "desk", "--store", f"file://{store}")
    assert (code, "was changed" in err) == (1, True)


@pytest.fixture
def signed(cluster: PlayedCluster, store: Path, tmp_path: Path) -> Path:
    """Seal twenty decisions in the store, the second ten signed; gives where the keys lie."""
    (uid,) = (p.name for p in (store / "log").iterdir())
    keys = tmp_path / "keys"
    keys.mkdir()
    for name in ("ours", "theirs"):
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (keys / f"{name}.pem").write_bytes(private)
        (keys / f"{name}.pub").write_bytes(public)
    for sign in (None, signer(keys / "ours.pem")):
        copy = LogCopy(lambda: ArtifactStore.open(f"file://{store}"), uid, "d", "desk", sign)
        copy.seal([entry(d) for d in cluster.decided], 10)
    return keys


def test_signatures_are_counted_and_with_a_public_key_they_are_checked(
    run: Run, store: Path, signed: Path
) -> None:
    where, key = f"file://{store}", signer(signed / "ours.pem")(b"").key
    code, out, _ = run("log", "verify", "desk", "--store", where)
    said = f"2 segments; 1 of them signed by {key}, not checked without --public-key"
    assert (code, said in " ".join(out.split())) == (0, True), out
    ours = ("--public-key", str(signed / "ours.pub"))
    code, out, _ = run("log", "verify", "desk", "--store", where, *ours)
    said = f"1 of them signed by {key}; they vouch for the first 20 decisions"
    assert (code, said in " ".join(out.split())) == (0, True), out
    record = json.loads(run("log", "verify", "desk", "--store", where, *ours, "-o", "json")[1])
    assert record["signed"] == {"segments": 1, "upTo": 20, "by": [key], "checked": True}
    code, out, _ = run("log", "verify", "desk", "--store", where, "--public-key", str(signed / "theirs.pub"))
    said = f"Broken: segment 11-20 is signed with another key: {key}."
    assert (code, " ".join(out.split())) == (1, said)
    both = (*ours, "--public-key", str(signed / "theirs.pub"))
    assert run("log", "verify", "desk", "--store", where, *both)[0] == 0


def test_a_signature_that_was_taken_away_is_missed_and_nothing_is_rebuilt(
    run: Run, cluster: PlayedCluster, store: Path, signed: Path
) -> None:
    where, ours = ("--store", f"file://{store}"), ("--public-key", str(signed / "ours.pub"))
    (_, segment) = sorted(store.glob("log/*/segment-*"))
    head, rest = segment.read_bytes().split(b"\n", 1)
    header = json.loads(head)
    del header["signature"]
    bare = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    segment.write_bytes(bare + b"\n" + rest)
    said = "segment 11-20 is not signed, and none before it is"
    code, out, _ = run("log", "verify", "desk", *where, *ours)
    assert (code, out) == (1, f"Broken: {said}.\n")
    lost(cluster)
    code, _, err = run("log", "rebuild", "desk", *where, *ours)
    assert (code, said in err) == (1, True)
    assert cluster.annotations == {}
    assert run("log", "rebuild", "desk", *where)[0] == 0


@pytest.mark.usefixtures("signed")
def test_after_a_signed_segment_nothing_is_sealed_without_a_key(cluster: PlayedCluster, store: Path) -> None:
    (uid,) = (p.name for p in (store / "log").iterdir())
    copy = LogCopy(lambda: ArtifactStore.open(f"file://{store}"), uid, "d", "desk", None)
    with pytest.raises(LogBroken, match=r"segment 11-20 is signed, and this operator has no key"):
        copy.seal([entry(d) for d in cluster.decided], 10)


def test_a_key_rebuilds_nothing_from_a_store_in_which_nothing_is_signed(
    run: Run, cluster: PlayedCluster, store: Path, signed: Path
) -> None:
    where, ours = ("--store", f"file://{store}"), ("--public-key", str(signed / "ours.pub"))
    for segment in store.glob("log/*/segment-*"):
        segment.unlink()
    lost(cluster)
    code, _, err = run("log", "rebuild", "desk", *where, *ours)
    assert (code, "Nothing of the log in the store is signed" in err) == (1, True)
    assert cluster.annotations == {}


def test_a_key_that_cannot_be_used_is_told_before_anything_is_read(run: Run, signed: Path) -> None:
    code, _, err = run("log", "verify", "desk", "--public-key", str(signed / "ours.pem"))
    assert (code, "holds no Ed25519 public key" in err) == (1, True)
    ours = ("--public-key", str(signed / "ours.pub"))
    assert run("log", "verify", "desk", "--without-store", *ours)[0] == 2
    code, out, _ = run("log", "verify", "desk", *ours)
    assert (code, "nothing is sealed yet, so nothing is signed" in " ".join(out.split())) == (0, True)


class Goes:
    """An operator that goes on while somebody looks: before each look it records one decision more."""

    def __init__(self, cluster: PlayedCluster, store: Path) -> None:
        (self.uid,) = (p.name for p in (store / "log").iterdir())
        self.cluster, self.store, self.looks = cluster, store, 0
        self.to_come = list(cluster.decided[20:])
        kept = store / "kept"
        for folder in ("entries", "inputs"):
            (kept / folder).mkdir(parents=True)
        for each in self.to_come:
            shutil.move(entry_file(store, each.spec.sequence), kept / "entries")
            inputs = self._inputs(each)
            if inputs is not None and inputs.exists():
                shutil.move(inputs, kept / "inputs")
        cluster.decided = cluster.decided[:20]
        self._tell()

    def _inputs(self, decision: Decision) -> Path | None:
        digest = decision.spec.premises.inputs
        return self.store / "inputs" / f"{digest.removeprefix('sha256:')}.json" if digest else None

    def _tell(self) -> None:
        spec = self.cluster.decided[-1].spec
        last = Tip(sequence=spec.sequence, digest=spec.digest)
        self.cluster.populations = tuple(
            p.model_copy(update={"status": p.status.model_copy(update={"last_decision": last})})
            for p in self.cluster.populations
        )
        self.cluster.specialists = ()

    def on(self) -> None:
        """Keep the inputs, record the decision, copy it, and write the status."""
        self.looks += 1
        if not self.to_come:
            return
        decision = self.to_come.pop(0)
        inputs = self._inputs(decision)
        if inputs is not None and (self.store / "kept/inputs" / inputs.name).exists():
            shutil.move(self.store / "kept/inputs" / inputs.name, inputs)
        self.cluster.decided = (*self.cluster.decided, decision)
        file = f"{decision.spec.sequence:012d}.json"
        shutil.move(self.store / "kept/entries" / file, self.store / "log" / self.uid / "entries" / file)
        self._tell()

    def seal(self) -> None:
        """Seal ten decisions, delete their objects, and then their files."""
        copy = LogCopy(lambda: ArtifactStore.open(f"file://{self.store}"), self.uid, "d", "desk")
        copy.seal([entry(d) for d in self.cluster.decided], 10)
        sealed = copy.sealed()
        self.cluster.decided = tuple(d for d in self.cluster.decided if d.spec.sequence > sealed)
        copy.release()


LOOKS = (
    (PlayedCluster, "snapshot"),
    (PlayedCluster, "log"),
    (StoredLog, "contents"),
    (Offline, "kept_inputs"),
)


@pytest.mark.parametrize("what", ["decides", "seals"])
@pytest.mark.parametrize("look", [name for _, name in LOOKS] + ["all"])
def test_what_an_operator_does_meanwhile_is_no_break(
    run: Run, cluster: PlayedCluster, store: Path, monkeypatch: pytest.MonkeyPatch, what: str, look: str
) -> None:
    operator = Goes(cluster, store)
    sealed: list[str] = []

    def disturbed(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def looked(*arguments: object) -> object:
            operator.on()
            if what == "seals" and name not in sealed:
                sealed.append(name)
                operator.seal()
            return real(*arguments)

        return looked

    for owner, name in LOOKS:
        if look in (name, "all"):
            real: Callable[..., object] = getattr(owner, name)
            monkeypatch.setattr(owner, name, disturbed(name, real))
    code, out, _ = run("log", "verify", "desk", "--store", f"file://{store}")
    assert (code, out[:6]) == (0, "Whole:"), out
    assert operator.looks > 0


def test_a_break_is_still_one_beside_an_operator_that_goes_on(
    run: Run, cluster: PlayedCluster, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = Goes(cluster, store)
    entry_file(store, 7).write_bytes(entry_file(store, 8).read_bytes())
    real = PlayedCluster.log

    def looked(self: PlayedCluster, population: Population) -> tuple[Decision, ...]:
        operator.on()
        return real(self, population)

    monkeypatch.setattr(PlayedCluster, "log", looked)
    code, out, _ = run("log", "verify", "desk", "--store", f"file://{store}")
    assert (code, "decision 7 is missing or forked" in out) == (1, True)
    assert operator.looks == 2


def test_a_copy_of_a_manifest_under_another_name_stands_for_nobody(cluster: PlayedCluster) -> None:
    meta = cluster.specialists[0].metadata
    told = {LOG_UID_ANNOTATION: f"{meta.name}/earlier"}
    assert meta.log_uid == meta.uid
    assert meta.model_copy(update={"annotations": told}).log_uid == "earlier"
    assert meta.model_copy(update={"annotations": told, "name": "copied"}).log_uid == meta.uid
    assert meta.model_copy(update={"annotations": {LOG_UID_ANNOTATION: meta.name}}).log_uid == meta.uid


def test_an_interrupted_rebuild_goes_on(run: Run, cluster: PlayedCluster) -> None:
    before = lost(cluster)
    cluster.decided = before[:20]
    assert run("log", "rebuild", "desk")[1].startswith(f"{len(before) - 20} decisions of desk were created")
    assert len(cluster.decided) == len(before)


def test_a_population_that_has_decided_by_itself_is_not_overwritten(run: Run, cluster: PlayedCluster) -> None:
    before = lost(cluster)
    spec = before[0].spec.model_copy(update={"message": "Another log."})
    cluster.decided = (before[0].model_copy(update={"spec": spec}),)
    code, _, err = run("log", "rebuild", "desk")
    assert (code, "has a decision 1 of its own" in err) == (1, True)
    assert cluster.annotations == {}


def test_a_specialist_without_an_object_stops_the_rebuild_unless_it_is_to_be_dropped(
    run: Run, cluster: PlayedCluster
) -> None:
    lost(cluster)
    cluster.specialists = tuple(s for s in cluster.specialists if s.metadata.name != "retired")
    code, _, err = run("log", "rebuild", "desk")
    assert (code, "have no object: retired" in err) == (1, True)
    assert run("log", "rebuild", "desk", "--drop-missing")[0] == 0


def test_a_broken_copy_is_not_rebuilt_from(run: Run, cluster: PlayedCluster, store: Path) -> None:
    lost(cluster)
    entry_file(store, 7).write_bytes(entry_file(store, 8).read_bytes())
    code, _, err = run("log", "rebuild", "desk", "--store", f"file://{store}")
    assert (code, "decision 7 is missing or forked" in err) == (1, True)
    assert cluster.annotations == {}


def test_a_store_without_the_log_or_with_several_says_so(
    run: Run, cluster: PlayedCluster, store: Path
) -> None:
    lost(cluster)
    (uid,) = (p.name for p in (store / "log").iterdir() if (p / "log.json").exists())
    shutil.copytree(store / "log" / uid, store / "log" / "another")
    code, _, err = run("log", "rebuild", "desk", "--store", f"file://{store}")
    assert (code, "several logs of this name" in err) == (1, True)
    assert run("log", "rebuild", "desk", "--store", f"file://{store}", "--uid", uid)[0] == 0
    shutil.rmtree(store / "log")
    code, _, err = run("log", "rebuild", "without-suite", "--store", f"file://{store}")
    assert (code, "keeps no log of d/without-suite" in err) == (1, True)


def test_a_ledger_whose_window_reaches_into_pruned_decisions_reads_them_from_the_store(
    run: Run, cluster: PlayedCluster, store: Path
) -> None:
    def told() -> object:
        everything = ("ledger", "--by", "revision", "--window", "1000000h", "-o", "json")
        code, out, err = run(*everything, "--store", f"file://{store}")
        assert code == 0, err
        return [(each["rows"], each["total"]) for each in json.loads(out)["populations"]]

    whole, all_of_them = told(), cluster.decided
    (uid,) = (p.name for p in (store / "log").iterdir())
    copy = LogCopy(lambda: ArtifactStore.open(f"file://{store}"), uid, "d", "desk")
    for _ in range(2):
        copy.seal([entry(d) for d in cluster.decided], 10)
    copy.release()
    cluster.decided = cluster.decided[20:]
    assert told() == whole
    # An operator that prunes only a part of what is sealed leaves the rest in both places.
    cluster.decided = all_of_them[13:]
    assert told() == whole
    (segment, *_) = sorted(store.glob("log/*/segment-*"))
    segment.unlink()
    code, _, err = run("ledger", "--window", "1000000h", "--store", f"file://{store}")
    assert (code, "The store's log cannot be used: segment 11-20 follows decision 0" in err) == (1, True)
    # What lies after the window's beginning is there without the store.
    assert run("ledger", "--window", "1s")[0] == 0
