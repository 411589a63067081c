"""Bearer tokens from mounted files, read again when they change, so that a Secret can be rotated."""

from __future__ import annotations

import hmac
import os
import re
from pathlib import Path
from typing import Final

_TOKEN: Final = re.compile(r"[\x21-\x7e]+")


class TokenUnusable(ValueError):
    """A token's file cannot be read, or holds no token. Mend the Secret; the token is never told."""

    retry = False


class TokenFile:
    """One token. A file that becomes unusable later changes nothing. Raises TokenUnusable at first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._stamp()
        self._token = self._read()

    def token(self) -> str:
        """The token as it is now."""
        try:
            stamp = self._stamp()
            if stamp != self._seen:
                self._token, self._seen = self._read(), stamp
        except TokenUnusable:
            pass
        return self._token

    def is_in(self, authorization: str) -> bool:
        """Whether a request's Authorization header carries it."""
        expected = f"Bearer {self.token()}".encode()
        return hmac.compare_digest(authorization.encode("utf-8", "surrogateescape"), expected)

    def _stamp(self) -> tuple[int, int, int]:
        try:
            found = os.stat(self._path)
        except OSError as error:
            raise TokenUnusable(f"{self._path} cannot be read: {error.strerror}") from error
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> str:
        try:
            token = self._path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise TokenUnusable(f"{self._path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise TokenUnusable(f"{self._path} is no text") from error
        if not _TOKEN.fullmatch(token):
            raise TokenUnusable(f"{self._path} is empty or holds spaces")
        return token
