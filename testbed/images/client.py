"""What this machine needs to reach a package index, in a folder that builds mount and never keep."""

from __future__ import annotations

import configparser
import shlex
import shutil
import ssl
from collections.abc import Mapping
from pathlib import Path

MOUNTED_AT = "/run/client"
UV_CACHE_AT = "/run/uv"
_AUTHORITIES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# Only what says where packages come from: anything else would change what is installed.
_PASSED_ON = (
    "PIP_DEFAULT_TIMEOUT",
    "PIP_EXTRA_INDEX_URL",
    "PIP_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_HTTP_TIMEOUT",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_INSECURE_HOST",
)
_OF_PIP_CONF = {"index-url": "PIP_INDEX_URL", "extra-index-url": "PIP_EXTRA_INDEX_URL"}


def write_client(folder: Path, environment: Mapping[str, str], home: Path) -> None:
    """Write the CA bundle, uv's configuration and a file of settings for `sh`; what is absent stays out."""
    settings = {name: environment[name] for name in _PASSED_ON if environment.get(name)}
    for name, value in _from_pip_conf(environment, home).items():
        settings.setdefault(name, value)
    # A machine may tell only pip where packages are; uv reads none of its settings.
    if "PIP_INDEX_URL" in settings and not settings.keys() & {"UV_DEFAULT_INDEX", "UV_INDEX_URL"}:
        settings["UV_DEFAULT_INDEX"] = settings["PIP_INDEX_URL"]
    authorities = _authorities(environment)
    if authorities is not None:
        shutil.copyfile(authorities, folder / "ca.pem")
        settings |= dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT"), f"{MOUNTED_AT}/ca.pem")
    for place in (home / ".config" / "uv" / "uv.toml", Path("/etc/uv/uv.toml")):
        if place.is_file():
            shutil.copyfile(place, folder / "uv.toml")
            settings["UV_CONFIG_FILE"] = f"{MOUNTED_AT}/uv.toml"
            break
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(settings.items())]
    (folder / "settings").write_text("".join(lines))


def uv_cache(environment: Mapping[str, str], home: Path) -> Path:
    """The cache of uv on this machine, where its rules place it."""
    if environment.get("UV_CACHE_DIR"):
        return Path(environment["UV_CACHE_DIR"]).absolute()
    given = environment.get("XDG_CACHE_HOME", "")
    return (Path(given) if given.startswith("/") else home / ".cache") / "uv"


def _authorities(environment: Mapping[str, str]) -> Path | None:
    named = [Path(environment[name]) for name in _AUTHORITIES if environment.get(name)]
    default = ssl.get_default_verify_paths().cafile
    return next((path for path in (*named, *([Path(default)] if default else [])) if path.is_file()), None)


def _from_pip_conf(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    given = environment.get("PIP_CONFIG_FILE")
    places = (
        [Path(given)]
        if given
        else [home / ".config/pip/pip.conf", home / ".pip/pip.conf", Path("/etc/pip.conf")]
    )
    for place in places:
        reader = configparser.ConfigParser(interpolation=None)
        reader.read(place)
        for key, variable in _OF_PIP_CONF.items():
            if reader.has_option("global", key):
                found.setdefault(variable, reader.get("global", key))
    return found
