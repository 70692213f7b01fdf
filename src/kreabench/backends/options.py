"""Options of each back end: what `target.<name>.options` accepts. Standard library only; validated by `config/`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class DiffusersOptions:
    """Local pipelines."""

    device: str = "auto"
    """`auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    max_sequence_length: int = 512
    """Tokens of the T5 prompt; another length gives another picture."""
    torch_threads: int | None = None
    """Threads of torch on the host; None leaves torch's own choice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FalOptions:
    """The fal API through fal-client."""

    poll_interval_s: float = 0.02
    """How often the status is asked; the resolution of queue and inference times."""
    start_timeout_s: float = 300.0
    """How long the service may keep a request in its queue."""
    request_timeout_s: float = 60.0
    """Of one HTTP call."""
    enable_safety_checker: bool = True
    download_hosts: tuple[str, ...] = ("fal.media", "storage.googleapis.com")
    """Hosts (and their subdomains) from which pictures are fetched; https only."""
    max_download_bytes: int = 64_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeOptions:
    """A back end without a model, for tests of everything around it."""

    load_s: float = 0.0
    latency_s: float = 0.005
    faults: tuple[dict[str, Any], ...] = ()
    """See `backends.fake`: what goes wrong for which prompts."""
