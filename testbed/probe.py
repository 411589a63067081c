"""Asks a server on this machine for a page, over mutual TLS or plainly."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from pathlib import Path

from testbed.pki import KeyPair

_LOOPBACK = "127.0.0.1"
_TIMEOUT_SECONDS = 5.0


class Probe:
    """A client of servers on this machine that knows their authority and shows its own certificate."""

    def __init__(self, authority: Path, client: KeyPair) -> None:
        self._context = ssl.create_default_context(cafile=str(authority))
        self._context.load_cert_chain(client.certificate, client.key)

    def answers(self, port: int, path: str, host: str = _LOOPBACK) -> bool:
        """Whether a GET of the path answers 200."""
        return _answers(
            http.client.HTTPSConnection(host, port, context=self._context, timeout=_TIMEOUT_SECONDS), path
        )


def answers_plainly(port: int, path: str, host: str = _LOOPBACK, *, token: str | None = None) -> bool:
    """Whether a GET without TLS answers 200; a token is shown as `Authorization: Bearer`."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return _answers(http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS), path, headers)


def _answers(
    connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str] | None = None
) -> bool:
    try:
        connection.request("GET", path, headers=headers or {})
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
