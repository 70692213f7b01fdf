"""What went wrong with a store, as one error: what failed, where, and what to do. No key is ever in it."""

from __future__ import annotations

import os

from kreabench.core.errors import StorageError, chain_of, one_line
from kreabench.core.redaction import redact
from kreabench.remote.urls import Location

_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "GOOGLE_API_KEY")
_NO_KEYS = frozenset(
    {
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "ProfileNotFound",
        "TokenRetrievalError",
        "SSOTokenLoadError",
        "UnauthorizedSSOTokenError",
        "DefaultCredentialsError",
        "RefreshError",
    }
)
_UNREACHABLE = frozenset(
    {
        "EndpointConnectionError",
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "ReadTimeoutError",
        "ProxyConnectionError",
        "SSLError",
        "ClientConnectorError",
        "ClientConnectorDNSError",
        "ServerDisconnectedError",
        "ServerTimeoutError",
        "TransportError",
        "ConnectionError",
        "ConnectionRefusedError",
        "ConnectionResetError",
        "TimeoutError",
        "FSTimeoutError",
        "gaierror",
    }
)
_KEYS = {
    "s3": "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for a public bucket FSSPEC_S3_ANON=true.",
    "gs": "Run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS.",
}
_ADDRESS = {"s3": "AWS_ENDPOINT_URL", "gs": "STORAGE_EMULATOR_HOST"}


def store_error(location: Location, error: BaseException) -> StorageError:
    """`error` of a call to the store at `location`, as one of ours."""
    names = {type(one).__name__ for one in chain_of(error)}
    said = _without_keys(one_line(error, 300) if isinstance(error, Exception) else type(error).__name__)
    scheme = location.scheme
    if names & _NO_KEYS:
        return StorageError(f"no credentials for {location}", remedy=_KEYS.get(scheme, ""))
    if isinstance(error, PermissionError):
        remedy = f"Check that these credentials may list, read and write there. {_KEYS.get(scheme, '')}".strip()
        return StorageError(f"{location} refused the credentials: {said}", remedy=remedy)
    if isinstance(error, FileNotFoundError):
        return StorageError(f"there is no bucket {location.bucket!r}", remedy="Create it, or correct the URL.")
    if names & _UNREACHABLE:
        variable = _ADDRESS.get(scheme)
        address = os.environ.get(variable or "", "")
        at = f" at {_without_keys(address)} ({variable})" if address else ""
        remedy = "Check the network" + (f", and {variable} for a service of your own" if variable else "")
        return StorageError(f"cannot reach the store of {location}{at}: {said}", remedy=f"{remedy}; then repeat.")
    return StorageError(
        f"{location} failed: {said}", remedy="Repeat the command: what was sent is kept. If it stays so, ask the store."
    )


def is_refused_condition(error: BaseException) -> bool:
    """Whether a store said that an object is there already, or is being made by another at this moment."""
    codes: set[object] = set()
    for one in chain_of(error):
        response = getattr(one, "response", None)  # of botocore
        codes.add(response.get("Error", {}).get("Code") if isinstance(response, dict) else None)
        codes.add(str(getattr(one, "code", "")))  # of gcsfs
    return bool(codes & {"PreconditionFailed", "ConditionalRequestConflict", "412"})


def _without_keys(text: str) -> str:
    for name in _SECRETS:
        value = os.environ.get(name, "")
        if len(value) >= 4:
            text = text.replace(value, "[removed]")
    return redact(text)
