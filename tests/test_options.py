"""What the operator's command line says, and what it does without a word about the jobs' code."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from modelecology.jobs.code import code_digest
from modelecology.options import CodeUnknown, code_of_jobs, parse


def test_options_come_from_the_command_line_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELECOLOGY_NAMESPACES", "a,b")
    monkeypatch.setenv("MODELECOLOGY_HEALTH_PORT", "9999")
    monkeypatch.setenv("MODELECOLOGY_JOB_IMAGE", "example.org/workload:1")
    found = parse([])
    assert found.namespaces == ("a", "b")
    assert found.health_port == 9999
    assert found.job_image == "example.org/workload:1"
    monkeypatch.delenv("MODELECOLOGY_NAMESPACES")
    assert parse(["--namespace", "c", "--job-image", "mine"]).namespaces == ("c",)
    assert parse(["--namespace", "c", "--job-image", "mine"]).job_image == "mine"
    assert parse([]).namespaces == ()
    assert not parse([]).release_finalizers


def test_an_empty_variable_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELECOLOGY_JOB_IMAGE", "")
    monkeypatch.setenv("MODELECOLOGY_JOB_CODE", "")
    monkeypatch.setenv("MODELECOLOGY_LOG_KEY_FILE", "")
    assert (parse([]).job_image, parse([]).job_code, parse([]).log_key_file) == (None, None, None)
    monkeypatch.setenv("MODELECOLOGY_LOG_KEY_FILE", "/a/key.pem")
    assert parse([]).log_key_file == Path("/a/key.pem")
    assert parse(["--log-key-file", "/b/key.pem"]).log_key_file == Path("/b/key.pem")


def test_the_code_of_the_jobs_is_what_the_option_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELECOLOGY_JOB_CODE", "sha256:" + "a" * 64)
    assert code_of_jobs(parse([])) == "sha256:" + "a" * 64


def test_without_the_option_it_is_computed_where_all_is_installed() -> None:
    assert code_of_jobs(parse([])) == code_digest()


def test_where_torch_is_missing_the_option_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(CodeUnknown, match="Give --job-code"):
        code_of_jobs(parse([]))
    given = "sha256:" + "a" * 64
    assert code_of_jobs(parse(["--job-code", given])) == given
