"""How a bucket of S3, or of a service that speaks S3, is reached, and what its refusals mean.

obstore (the Rust crate object_store) does the talking: docs/decisions says why.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from modelecology.store.errors import PlaceNotFound, StoreError, StoreFull, StoreUnavailable
from modelecology.store.object_files import PART_BYTES, PARTS_AT_ONCE, ObjectFiles

if TYPE_CHECKING:
    from obstore.store import S3Store

ENDPOINT: Final = "MODELECOLOGY_S3_ENDPOINT"
REGION: Final = "AWS_REGION"
KEY_ID: Final = "AWS_ACCESS_KEY_ID"
SECRET: Final = "AWS_SECRET_ACCESS_KEY"
TOKEN: Final = "AWS_SESSION_TOKEN"
DEFAULT_REGION: Final = "us-east-1"
PATIENCE_SECONDS: Final = 10.0
JOB_PATIENCE_SECONDS: Final = 120.0
"""A job asks again for so long: an hour of training is not to be lost to a minute without a network."""

_CONNECT_SECONDS = 3
_SILENCE_SECONDS = 10
_REQUEST_SECONDS = 1800  # a base model in one request
_TRIES = 1000  # within the patience

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]{1,64})</Code>")
_CAUSE = re.compile(r"kind: (Connect|Timeout|Request|Interrupted|Decode)\b")
_FULL = frozenset({"XMinioStorageFull", "QuotaExceeded", "StorageFull", "InsufficientStorage"})
_REFUSED = frozenset(
    {"AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "XAdminUserNotFound"}
)
_OTHER_REGION = frozenset(
    {"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"}
)


@dataclass(frozen=True, slots=True)
class S3Access:
    """How a bucket is reached.

    `credentials` is a directory with the files AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and
    AWS_SESSION_TOKEN where there is one), which are read again when they change. Without it the keys come
    from the environment, else from the pod's identity. A request that fails is repeated for `patience`
    seconds: not long where everything is looked at again anyway.
    """

    endpoint: str | None = None
    region: str = DEFAULT_REGION
    credentials: Path | None = None
    patience: float = PATIENCE_SECONDS

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], patience: float = PATIENCE_SECONDS) -> S3Access:
        """Take what a pod is given in its environment."""
        endpoint, region = environment.get(ENDPOINT), environment.get(REGION)
        return cls(endpoint or None, region or DEFAULT_REGION, patience=patience)


class S3Objects:
    """Requests to one bucket below one prefix."""

    def __init__(self, bucket: str, prefix: str, access: S3Access) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._access = access
        self._lock = threading.Lock()
        self._client: tuple[tuple[object, ...], S3Store] | None = None

    def get(self, path: str, *, options: Any = None) -> Any:
        """Read an object."""
        return self._current().get(path, options=options)

    def put(
        self,
        path: str,
        file: Any,
        *,
        mode: Any = None,
        use_multipart: bool | None = None,
        chunk_size: int = PART_BYTES,
        max_concurrency: int = PARTS_AT_ONCE,
    ) -> Any:
        """Write an object."""
        return self._current().put(
            path,
            file,
            mode=mode,
            use_multipart=use_multipart,
            chunk_size=chunk_size,
            max_concurrency=max_concurrency,
        )

    def delete(self, paths: Any) -> None:
        """Remove objects."""
        self._current().delete(paths)

    def list(self, prefix: str | None = None, *, offset: str | None = None, chunk_size: int = 1000) -> Any:
        """List objects."""
        return self._current().list(prefix, offset=offset, chunk_size=chunk_size)

    def _current(self) -> S3Store:
        """Give the client of the credentials as they are now; a mounted Secret changes under us."""
        with self._lock:
            version = _version(self._access.credentials)
            if self._client is None or self._client[0] != version:
                self._client = (version, self._open())
            return self._client[1]

    def _open(self) -> S3Store:
        from obstore.store import S3Store

        endpoint = self._access.endpoint
        keys: dict[str, Any] = {}
        if self._access.credentials is not None:
            keys = _keys(self._access.credentials)
        if endpoint is not None:
            keys["endpoint"] = endpoint
        return S3Store(
            self._bucket,
            prefix=self._prefix or None,
            region=self._access.region,
            # One request an object: not every service has the bulk one.
            disable_bulk_delete=True,
            client_options={
                "allow_http": endpoint is not None and urlsplit(endpoint).scheme == "http",
                "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
                "read_timeout": timedelta(seconds=_SILENCE_SECONDS),
                "timeout": timedelta(seconds=_REQUEST_SECONDS),
                "user_agent": "modelecology",
            },
            retry_config={
                "max_retries": _TRIES,
                "retry_timeout": timedelta(seconds=self._access.patience),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=3),
                    "base": 2,
                },
            },
            **keys,
        )


def _version(directory: Path | None) -> tuple[object, ...]:
    """Tell one state of the credentials from another without reading them; raises StoreUnavailable."""
    if directory is None:
        return ()
    found: list[object] = []
    for name in (KEY_ID, SECRET, TOKEN):
        try:
            status = (directory / name).stat()
        except OSError as error:
            if name == TOKEN:
                continue
            raise _no_keys(directory, name) from error
        found.append((name, status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)


def _keys(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, argument in (
        (KEY_ID, "access_key_id"),
        (SECRET, "secret_access_key"),
        (TOKEN, "session_token"),
    ):
        try:
            found[argument] = (directory / name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            if name != TOKEN:
                raise _no_keys(directory, name) from error
    return found


def _no_keys(directory: Path, name: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"{directory} has no readable {name}; mount there the Secret of store.s3.credentialsSecretRef, with "
        f"the keys {KEY_ID} and {SECRET}."
    )


def location(uri: str) -> tuple[str, str]:
    """Split `s3://bucket/prefix` into bucket and prefix; raises PlaceNotFound."""
    match = re.fullmatch(r"s3://([a-z0-9][-.a-z0-9]{1,61}[a-z0-9])((?:/[-._a-zA-Z0-9]+)*)/?", uri)
    if match is None or ".." in match[2].split("/"):
        raise PlaceNotFound(f"{uri} must have the form s3://bucket/prefix.")
    return match[1], match[2].strip("/")


def s3_files(uri: str, access: S3Access, scratch: Callable[[], Path]) -> ObjectFiles:
    """Open the files of an s3:// uri; nothing is asked yet. Raises PlaceNotFound for a malformed one."""
    bucket, prefix = location(uri)
    endpoint = access.endpoint
    if endpoint is not None and not re.fullmatch(r"https?://[^/?#@\s]+/?", endpoint):
        raise PlaceNotFound(f"store.s3.endpoint {endpoint!r} must have the form https://host:port.")

    def meaning(error: Exception, doing: str) -> StoreError:
        return meaning_of(error, doing, bucket, endpoint or f"S3 in {access.region}")

    return ObjectFiles(S3Objects(bucket, prefix, access), uri.rstrip("/"), meaning, scratch)


def meaning_of(error: Exception, doing: str, bucket: str, service: str) -> StoreError:
    """Say in our own words what a failed request means: status and code are all that is quoted."""
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    text = str(error)
    status = match[1] if (match := _STATUS.search(text)) else ""
    code = match[1] if (match := _CODE.search(text)) else ""
    said = " ".join(part for part in (status, code) if part)
    if code == "NoSuchBucket":
        return StoreUnavailable(f"There is no bucket {bucket} at {service}; create it, or mend store.uri.")
    if code in _FULL or status == "507":
        return StoreFull(
            f"{service} has no space left while {doing} ({said}); free some, or raise the quota."
        )
    if code in _OTHER_REGION or status == "301":
        return StoreUnavailable(
            f"The bucket {bucket} is in another region ({said}); mend store.s3.region or store.s3.endpoint."
        )
    denied = isinstance(error, PermissionDeniedError | UnauthenticatedError)
    if denied or code in _REFUSED or status in ("401", "403"):
        return StoreUnavailable(
            f"{service} refused {doing} ({said or 'no valid credentials'}); mend the Secret that "
            "store.s3.credentialsSecretRef names, or the rights of its keys: list the bucket; get, put and "
            "delete its objects."
        )
    if status:
        return StoreUnavailable(f"{service} answered {said} while {doing}; it is asked again.")
    if "InvalidCertificate" in text:
        return StoreUnavailable(
            f"The certificate of {service} is not trusted; name its authority's file in SSL_CERT_FILE."
        )
    if "/latest/" in text or "169.254." in text:
        return StoreUnavailable(
            f"No credentials were found for {service}; name a Secret in store.s3.credentialsSecretRef, or "
            "give the pod's service account an identity."
        )
    cause = match[1].lower() if (match := _CAUSE.search(text)) else "transport"
    return StoreUnavailable(
        f"{service} cannot be reached while {doing} ({cause} error); look at store.s3.endpoint and the "
        "network."
    )
