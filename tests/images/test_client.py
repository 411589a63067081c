"""A build is told where packages come from, and nothing else of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.images.client import uv_cache, write_client


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def _settings(tmp_path: Path, environment: dict[str, str], home: Path) -> dict[str, str]:
    folder = tmp_path / "client"
    folder.mkdir()
    write_client(folder, environment, home)
    lines = (folder / "settings").read_text().splitlines()
    return dict(line.removeprefix("export ").split("=", 1) for line in lines)


def test_a_bundle_of_authorities_is_copied_and_named_where_it_is_mounted(tmp_path: Path, home: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("certificates")
    settings = _settings(tmp_path, {"SSL_CERT_FILE": str(bundle)}, home)
    assert (tmp_path / "client" / "ca.pem").read_text() == "certificates"
    assert settings["SSL_CERT_FILE"] == settings["PIP_CERT"] == "/run/client/ca.pem"


def test_only_what_says_where_packages_are_is_passed_on(tmp_path: Path, home: Path) -> None:
    environment = {
        "UV_DEFAULT_INDEX": "https://packages.example.org/it's here",
        "UV_PYTHON": "3.9",
        "PIP_NO_BINARY": ":all:",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    settings = _settings(tmp_path, environment, home)
    assert settings["UV_DEFAULT_INDEX"] == "'https://packages.example.org/it'\"'\"'s here'"
    assert not settings.keys() & {"UV_PYTHON", "PIP_NO_BINARY", "AWS_SECRET_ACCESS_KEY"}


def test_uv_learns_the_index_that_only_pip_was_told(tmp_path: Path, home: Path) -> None:
    conf = home / ".config" / "pip" / "pip.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text("[global]\nindex-url = https://packages.example.org/simple\nfind-links = /opt\n")
    settings = _settings(tmp_path, {}, home)
    assert settings["UV_DEFAULT_INDEX"] == settings["PIP_INDEX_URL"] == "https://packages.example.org/simple"
    assert "PIP_FIND_LINKS" not in settings


def test_the_configuration_of_uv_goes_along(tmp_path: Path, home: Path) -> None:
    place = home / ".config" / "uv" / "uv.toml"
    place.parent.mkdir(parents=True)
    place.write_text("offline = false\n")
    settings = _settings(tmp_path, {}, home)
    assert settings["UV_CONFIG_FILE"] == "/run/client/uv.toml"
    assert (tmp_path / "client" / "uv.toml").read_text() == "offline = false\n"


def test_the_cache_is_where_uv_places_it(home: Path) -> None:
    assert uv_cache({}, home) == home / ".cache" / "uv"
    assert uv_cache({"XDG_CACHE_HOME": "relative"}, home) == home / ".cache" / "uv"
    assert uv_cache({"XDG_CACHE_HOME": "/cache"}, home) == Path("/cache/uv")
    assert uv_cache({"UV_CACHE_DIR": "/elsewhere", "XDG_CACHE_HOME": "/cache"}, home) == Path("/elsewhere")
