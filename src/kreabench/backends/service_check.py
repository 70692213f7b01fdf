"""What the checks of several hosted back ends share: addresses, keys, levels. Nothing is sent."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from kreabench.backends.keys import is_usable_key
from kreabench.core.errors import Problem
from kreabench.core.specs import AccelerationSpec, TargetSpec

_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


def host_of(url: str) -> str:
    """The host of an address; empty where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_address(url: str, *, http: bool) -> bool:
    """Whether `url` is an https address, where `http` also a plain one, that holds nothing but host, port and path."""
    try:
        parts = urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        return False
    schemes = {"https", "http"} if http else {"https"}
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    return parts.scheme in schemes and bool(parts.hostname) and port_fits and plain


def is_loopback(host: str) -> bool:
    """Whether a host, by name or number, is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def limit_problems(
    key: str, request_timeout_s: float, max_download_bytes: int, download_hosts: Sequence[str]
) -> Iterator[Problem]:
    """What is wrong with the options of those names; `key` is the target's."""
    wanted = (
        ("request_timeout_s", request_timeout_s, request_timeout_s > 0, "more than 0 seconds"),
        ("max_download_bytes", max_download_bytes, max_download_bytes > 0, "at least 1 byte"),
        (
            "download_hosts",
            list(download_hosts),
            all(_HOST_NAME.fullmatch(host) for host in download_hosts),
            "bare host names in lower case, without scheme, port or path",
        ),
    )
    for name, found, fine, expected in wanted:
        if not fine:
            yield Problem(key=f"{key}.options.{name}", found=str(found), expected=expected)


def level_problems(target: TargetSpec, accelerations: Sequence[AccelerationSpec]) -> Iterator[Problem]:
    """Acceleration levels that the endpoint does not take; one without levels is asked for none."""
    accepted = target.accelerations or ("none",)
    for acceleration in accelerations:
        if acceleration.hosted not in accepted:
            yield Problem(
                key=f"acceleration.{acceleration.name}.hosted",
                found=str(acceleration.hosted),
                expected=f"one of {', '.join(accepted)} for target {target.name}",
            )


def key_problems(key_env: str, target: TargetSpec, environ: Mapping[str, str]) -> Iterator[Problem]:
    """A key that is not there, or that no header can hold. No value is in any message."""
    key = environ.get(key_env, "")
    if not key:
        yield Problem(
            key=key_env,
            found="not set",
            expected=f"the key of the service, for target {target.name}",
            remedy=f"export {key_env}=… in the shell that starts kreabench; it is written nowhere.",
        )
    elif not is_usable_key(key):
        expected = "a key of printable characters without spaces"
        yield Problem(key=key_env, found="a value that no header can hold", expected=expected)
