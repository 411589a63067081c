"""What the command lines of gateway, engine and judge have in common."""

from __future__ import annotations

import argparse
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from .tokens import TokenFile, TokenUnusable


@dataclass(frozen=True, slots=True)
class Whole:
    """Reads a whole number from low to high. Raises argparse.ArgumentTypeError."""

    low: int
    high: int

    def __call__(self, text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = self.low - 1
        if not self.low <= value <= self.high:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {self.low} to {self.high}")
        return value


def token_file(parser: argparse.ArgumentParser, option: str, path: Path | None) -> TokenFile | None:
    """Read the token that an option names. Prints what is wrong with it and raises SystemExit(2)."""
    try:
        return None if path is None else TokenFile(path)
    except TokenUnusable as error:
        parser.error(f"{option}: {error}")


def refuse_open_door(parser: argparse.ArgumentParser, host: str, *, token: bool, insecure: bool) -> None:
    """Insist on a token where other machines reach the address. Prints why not and raises SystemExit(2)."""
    if token or insecure or _is_loopback(host):
        return
    parser.error(
        f"--host {host} is reachable from other machines: give --token-file, or --insecure to serve anybody"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
