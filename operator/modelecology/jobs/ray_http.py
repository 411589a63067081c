"""Speaks HTTP with a Ray cluster's dashboard: the token, the time limits, and errors that name a remedy."""

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import aiohttp

from modelecology.jobs.job_log import tail_of
from modelecology.jobs.port import RunnerError, RunnerRefused, RunnerUnavailable, bounded

TokenProvider = Callable[[], "str | Awaitable[str]"]
"""Gives the token; asked before every request, so that a rotated token is used at once."""

MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
"""Longest answer that is read; a job's whole log comes in one."""

_TOKEN = re.compile(r"[\x21-\x7e]+")
_BUSY: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_NO_SUCH_API: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED})


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read to its end."""

    status: int
    text: str

    @property
    def ok(self) -> bool:
        """Whether the request was done."""
        return self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def missing(self) -> bool:
        """Whether what was asked for is not there."""
        return self.status == HTTPStatus.NOT_FOUND


def token_from_file(path: str) -> Callable[[], str]:
    """Read the token from a file before every request; a file that cannot be read becomes RunnerRefused."""

    def read() -> str:
        with open(path, encoding="utf-8") as file:
            return file.read()

    return read


class RayHttp:
    """Requests to the dashboard at `address`, each within its own time limit in seconds."""

    def __init__(self, address: str, token: TokenProvider | None) -> None:
        self.address = address.rstrip("/")
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self, method: str, path: str, seconds: float, body: dict[str, object] | None = None
    ) -> Answer:
        """Send one request and give the answer, whatever its status; RunnerError where there is none."""
        headers = await self._authorization()
        if self._session is None:
            self._session = aiohttp.ClientSession()
        limit = aiohttp.ClientTimeout(total=seconds)
        try:
            # A redirect is not followed: the token is for this address and no other.
            async with self._session.request(
                method, self.address + path, json=body, headers=headers, timeout=limit, allow_redirects=False
            ) as response:
                return Answer(response.status, await self._read(response))
        except TimeoutError as error:
            raise RunnerUnavailable(
                f"Ray at {self.address} did not answer within {seconds:g} s. Look at its head node."
            ) from error
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise RunnerRefused(
                f"{self.address!r} is not a URL. Mend spec.jobs.ray.address, for example http://ray-head:8265."
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise RunnerUnavailable(
                f"Ray at {self.address} cannot be reached ({type(error).__name__}). "
                "Start it, or mend spec.jobs.ray.address."
            ) from error

    async def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def error(self, answer: Answer, what: str) -> RunnerError:
        """Turn an answer that is no success into the error to raise; `what` completes "could not ..."."""
        status = answer.status
        if status == HTTPStatus.UNAUTHORIZED:
            return self._token_error(status, "asks for a token")
        if status == HTTPStatus.FORBIDDEN:
            return self._token_error(status, "does not accept the token")
        said = bounded(tail_of(answer.text, 1), 300) or "no reason given"
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _BUSY:
            return RunnerUnavailable(f"Ray at {self.address} could not {what} (HTTP {status}: {said}).")
        if status < HTTPStatus.BAD_REQUEST or status in _NO_SUCH_API:
            return self.foreign(f"HTTP {status} on the request to {what}")
        return RunnerRefused(f"Ray at {self.address} will not {what} (HTTP {status}: {said}).")

    def foreign(self, what: str) -> RunnerRefused:
        """Make the error for an answer that Ray would not give."""
        return RunnerRefused(
            f"What answers at {self.address} is not the Jobs API of Ray 2.54 or newer ({what}). "
            "Mend spec.jobs.ray.address: it is the dashboard's URL."
        )

    async def _authorization(self) -> dict[str, str]:
        if self._token is None:
            return {}
        try:
            given = self._token()
            token = (await given if inspect.isawaitable(given) else given).strip()
        except (OSError, UnicodeDecodeError) as error:
            what = str(error.filename) if isinstance(error, OSError) and error.filename else "The token"
            raise RunnerRefused(
                f"{what} cannot be read ({type(error).__name__}). "
                "Put the token of spec.jobs.ray.tokenSecretRef there."
            ) from error
        if not _TOKEN.fullmatch(token):
            # The token must never reach a message, not even a broken one.
            raise RunnerRefused(
                "The token of spec.jobs.ray.tokenSecretRef is empty or holds spaces. Mend it."
            )
        return {"Authorization": f"Bearer {token}"}

    def _token_error(self, status: int, said: str) -> RunnerRefused:
        return RunnerRefused(
            f"Ray at {self.address} {said} (HTTP {status}). Mend the Secret of spec.jobs.ray.tokenSecretRef."
        )

    async def _read(self, response: aiohttp.ClientResponse) -> str:
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_chunked(64 * 1024):
            parts.append(part)
            size += len(part)
            if size > MAX_ANSWER_BYTES:
                raise self.foreign(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        return b"".join(parts).decode("utf-8", errors="replace")
