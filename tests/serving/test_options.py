"""The engine's command line."""

from pathlib import Path

import pytest

from modelecology.serving.engine.options import parse


def test_the_defaults_serve_this_machine_only(tmp_path: Path) -> None:
    options = parse(["--model", str(tmp_path)])
    assert (options.host, options.port, options.served_name) == ("127.0.0.1", 8000, "generalist")
    assert (options.max_loras, options.max_rank, options.dtype) == (4, 16, "bfloat16")
    assert options.token is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_needs_no_token(tmp_path: Path, host: str) -> None:
    assert parse(["--model", str(tmp_path), "--host", host]).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "engine.example"])
def test_other_addresses_need_a_token_or_a_deliberate_word(
    tmp_path: Path, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--model", str(tmp_path), "--host", host]
    with pytest.raises(SystemExit):
        parse(common)
    assert "give --token-file, or --insecure" in capsys.readouterr().err
    assert parse([*common, "--insecure"]).token is None
    (tmp_path / "token").write_text("opensesame\n")
    token = parse([*common, "--token-file", str(tmp_path / "token")]).token
    assert token is not None
    assert token.token() == "opensesame"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "/nowhere"], "--model /nowhere is not a directory"),
        (["--port", "70000"], "70000 is not a whole number from 0 to 65535"),
        (["--max-loras", "0"], "0 is not a whole number"),
        (["--max-lora-rank", "many"], "many is not a whole number"),
        (["--allow-root", "/nowhere"], "--allow-root /nowhere is not a directory"),
        (["--token-file", "/nowhere"], "--token-file: /nowhere cannot be read"),
        (["--token-file", "/dev/null"], "--token-file: /dev/null is empty"),
        (["--dtype", "int8"], "invalid choice"),
    ],
)
def test_a_wrong_option_is_told_at_once(
    tmp_path: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--model", str(tmp_path), *arguments])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_the_allowed_roots_are_resolved(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    options = parse(["--model", str(tmp_path), "--allow-root", str(tmp_path / "link")])
    assert options.roots == (str(tmp_path / "real"),)
