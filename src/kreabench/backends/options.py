"""Options of each back end: what `target.<name>.options` accepts. Standard library only; validated by `config/`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

LATER = {"later": True}
"""Marks an option that the first runs did not know: no part of a target's identity while at its default."""


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
    weights: Literal["pretrained", "random"] = field(default="pretrained", metadata=LATER)
    """`random` draws every weight on the device and reads no model: speed, memory and energy without a download."""
    geometry: Literal["flux", "mini"] = field(default="flux", metadata=LATER)
    """Sizes of the parts with random weights: those of FLUX.1 [dev], or of the miniature."""
    transformer: str | None = field(default=None, metadata=LATER)
    """Another transformer in the model: a folder, a .safetensors file, a Hub id, or OWNER/NAME/FILE.safetensors."""
    transformer_revision: str | None = field(default=None, metadata=LATER)
    """Commit of that transformer's Hub repository."""
    safety_checker: str | None = field(default=None, metadata=LATER)
    """Image classifier with a label `nsfw` (Hub id or folder) that looks at every picture after the clock stopped."""
    safety_threshold: float = field(default=0.85, metadata=LATER)
    """Probability of `nsfw` from which a picture is flagged."""
    redux_model: str | None = field(default=None, metadata=LATER)
    """For task redux: the image encoder and its embedder, a Hub id, a directory or `builtin:mini-redux`."""
    redux_revision: str | None = field(default=None, metadata=LATER)
    """A commit of that Hub repository."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FalOptions:
    """The fal API through fal-client."""

    observe: Literal["auto", "status_events", "polling"] = field(default="auto", metadata=LATER)
    """How queue and inference are told apart: by the service's status events, by asking every `poll_interval_s`, or
    by events where they work and by asking where they do not."""
    poll_interval_s: float = 0.02
    """How often the status of one request is asked, where it is asked; less often while many are in flight."""
    start_timeout_s: float = 300.0
    """How long the service may keep a request in its queue."""
    request_timeout_s: float = 60.0
    """Of one HTTP call."""
    input_images: Literal["upload", "data_uri", "url"] = field(default="upload", metadata=LATER)
    """How a picture reaches the service: uploaded to its storage before each request, within the request's body, or
    by the https address in the prompt file."""
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
    state_dir: str | None = None
    """Existing folder where faults with `times` are counted across workers; needed by these alone."""
    batch_share: float = field(default=0.5, metadata={"later": True})
    """What each further request of a batch adds, as a share of `latency_s`: 1 where batches spare nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeHostedOptions:
    """A hosted service without a network, for tests of everything around it."""

    submit_s: float = 0.0
    """The service takes this long to name each request that it has taken."""
    queue_s: float = 0.0
    """Each request waits this long."""
    inference_s: float = 0.01
    """Each request is worked on for this long."""
    max_running: int | None = None
    """Requests that the service takes at once; it refuses more. None: any number."""
    faults: tuple[dict[str, Any], ...] = ()
    """See `backends.fake_hosted`: what goes wrong for which prompts."""
    state_dir: str | None = None
    """Existing folder where the service keeps its jobs, also when the worker dies; None forgets them with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FalEmulatorOptions:
    """The loopback fal: what `target.<name>.service.options` accepts, and `kreabench fal-emulator` as arguments."""

    images: Literal["pipeline", "patterns", "folder"] = "pipeline"
    """`pipeline` draws with the local back end; `patterns` draws at once and imports no torch; `folder` serves the
    pictures of `folder`, scaled to the asked size."""
    model: str = "builtin:mini"
    """What the pipeline loads: a Hub id, a directory or `builtin:NAME`."""
    pipeline: dict[str, Any] = field(default_factory=lambda: {"device": "cpu", "dtype": "float32", "torch_threads": 1})
    """Options of the local back end, beside those that a built-in `model` was trained with."""
    accelerations: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {
            "none": {},
            "regular": {"first_block_cache": {"threshold": 0.1}},
            "high": {"first_block_cache": {"threshold": 0.2}},
        }
    )
    """Level asked by the client → features of the local back end that can be switched between calls."""
    queue_s: float | str = 0.0
    """Each request waits at least this long in the queue: seconds, `uniform:LOW,HIGH` or `lognormal:MEDIAN,SIGMA`."""
    inference_s: float | str = 0.0
    """Each request runs at least this long; as `queue_s`."""
    megapixel_pixels: int = 1_000_000
    """Pixels in a billed megapixel."""
    seed: int | None = None
    """Seeds everything that is drawn: seeds of requests that bring none, times, faults; None draws anew each time."""
    truth_log: str | None = None
    """File for what really happened, one JSON line a request; None writes none."""
    pattern_version: int = field(default=0, metadata=LATER)
    """Of the model that `patterns` stand for: with another one every pattern is another one, and nothing says so."""
    pattern_noise: float = field(default=0.0, metadata=LATER)
    """Grey levels by which a pattern differs each time it is drawn, as a service's that does not repeat exactly; the
    noise is drawn from `seed`."""
    endpoint: tuple[str, ...] = field(default=(), metadata=LATER)
    """Further endpoints: files of the form of `conf/target/krea_fal.yaml`."""
    folder: str | None = field(default=None, metadata=LATER)
    """Where the pictures of `images: folder` lie."""
    runners: int = field(default=1, metadata=LATER)
    """How many requests run at once."""
    concurrency: int | None = field(default=None, metadata=LATER)
    """The account's limit of running requests: above it the queue waits, and direct calls get 429. None: no limit."""
    submit_limit: int | None = field(default=None, metadata=LATER)
    """Unfinished requests from which a submit is answered 429 with Retry-After. None: no limit."""
    cold_start_s: float = field(default=0.0, metadata=LATER)
    """How much longer the first request of each runner waits in the queue."""
    fault: dict[str, float] = field(default_factory=dict, metadata=LATER)
    """Fault → its probability; `kreabench fal-emulator --list-faults` prints the table. One fault a request at most."""
    policy_marker: str = field(default="[[emulate-content-policy-violation]]", metadata=LATER)
    """A prompt with this text in it is refused with `content_policy_violation`."""
    nsfw_marker: str = field(default="[[emulate-nsfw]]", metadata=LATER)
    """A prompt with this text in it gets black, flagged pictures, unless the safety checker is off."""
    http: bool = field(default=False, metadata=LATER)
    """Plain http instead of TLS; the environment alone cannot point fal's client at it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenAIImagesOptions:
    """Any server with OpenAI's image interface, through the openai client: `POST BASE_URL/images/generations`."""

    base_url: str
    """Where it is, up to and without `/images/generations`; http where no key is sent, or on this machine."""
    response_format: Literal["b64_json", "url"] | None = "b64_json"
    """How pictures are asked for; null asks for neither, as some services refuse the word. Either answer is read."""
    names: dict[str, str] = field(default_factory=dict)
    """Input → what the server calls it; unless given `image_size` is `size` (as 1024x1024) and `num_images` is `n`."""
    request_timeout_s: float = 180.0
    """Of the call that answers with the pictures, waiting included, and once more of each picture's download."""
    download_hosts: tuple[str, ...] = ()
    """Hosts (and their subdomains) from which pictures are fetched where the answer names addresses, by https alone;
    that of `base_url` is one whatever it is."""
    max_download_bytes: int = 64_000_000
    """Of one picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HfInferenceOptions:
    """Providers of inference through huggingface_hub's `InferenceClient.text_to_image`."""

    provider: str = "hf-inference"
    """As huggingface_hub names it: fal-ai, replicate, together …"""
    routed: bool = True
    """With a token of Hugging Face, which hands the request on and bills it; false: with a key of the provider's own,
    sent to it directly."""
    bill_to: str | None = None
    """Organisation at Hugging Face that pays; only with `routed`."""
    base_url: str | None = None
    """Asked in place of a provider: an Inference Endpoint of one's own, or what answers as one does."""
    names: dict[str, str] = field(default_factory=dict)
    """Input → what the provider calls it, where the library does not translate."""
    request_timeout_s: float = 180.0
    """Of the call that answers with the picture, waiting included, and once more of the picture's download."""
    download_hosts: tuple[str, ...] = ("fal.media", "storage.googleapis.com", "replicate.delivery")
    """Hosts (and their subdomains) from which pictures are fetched, where the answer names an address; https only."""
    max_download_bytes: int = 64_000_000
