"""Where weights of metrics come from: one line of text, so that it can be given on a command line.

    hub:OWNER/NAME@REVISION           the model folder of a Hub repository (configuration and safetensors)
    hub:OWNER/NAME/FILE@REVISION      one file of it
    https://ADDRESS#sha256=HEX        one file, whose content is checked
    PATH                              a file or folder of this machine
    builtin:mini                      of the small CLIP that ships with kreabench, trained on drawn pictures
    random                            drawn at random: only where `untrained: true` says so

A branch or tag as REVISION, and an address without its hash, are accepted and said to be not pinned: what they name
can change. Reading a source touches no disk and no network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

RANDOM_WEIGHTS = "random"
BUILTIN_WEIGHTS = "builtin:mini"
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".json")
"""Of files that weights may be: tensors, or the description beside them."""
NOT_PINNED = "not pinned"
FORMS = "hub:OWNER/NAME[/FILE]@REVISION, https://…#sha256=…, a path, `builtin:mini` or `random`"

_HUB, _HTTPS, _BUILTIN = "hub:", "https://", "builtin:"
_NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9_])?", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9_](?:[\w.+-]|/(?=\w)){0,199}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://|https?:|hub:", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class HubWeights:
    """A model folder of the Hugging Face Hub, or one file of it."""

    repo: str
    """`owner/name`."""
    file: str | None
    """Path inside the repository; None is the model folder."""
    revision: str

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit, which cannot change."""
        return _COMMIT.fullmatch(self.revision) is not None

    def __str__(self) -> str:
        return f"{_HUB}{self.repo}{f'/{self.file}' if self.file else ''}@{self.revision}"


@dataclass(frozen=True, kw_only=True, slots=True)
class UrlWeights:
    """One file at an address."""

    address: str
    """Begins with https://; without a fragment."""
    sha256: str | None

    @property
    def pinned(self) -> bool:
        """Whether the content is known."""
        return self.sha256 is not None

    @property
    def file_name(self) -> str:
        """The last part of the address' path."""
        return PurePosixPath(unquote(urlsplit(self.address).path)).name

    def __str__(self) -> str:
        return f"{self.address}{f'#sha256={self.sha256}' if self.sha256 else ''}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalWeights:
    """A file or folder of this machine, whose hash is all that is known of it."""

    path: str

    @property
    def pinned(self) -> bool:
        """What lies on this machine changes only by its owner's hand."""
        return True

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, kw_only=True, slots=True)
class RandomWeights:
    """Weights that nobody trained."""

    @property
    def pinned(self) -> bool:
        """There is nothing to pin."""
        return True

    def __str__(self) -> str:
        return RANDOM_WEIGHTS


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltinWeights:
    """Weights in the package."""

    @property
    def pinned(self) -> bool:
        """They change only with kreabench, and are hashed."""
        return True

    def __str__(self) -> str:
        return BUILTIN_WEIGHTS


WeightSource = HubWeights | UrlWeights | LocalWeights | RandomWeights | BuiltinWeights


def parse_source(text: str) -> WeightSource:
    """The source that `text` names. Raises ValueError saying what was found and what is accepted."""
    if not text.strip() or text != text.strip() or not text.isprintable():
        raise ValueError(f"weights must be {FORMS}, and is {text!r}")
    if text == RANDOM_WEIGHTS:
        return RandomWeights()
    if text == BUILTIN_WEIGHTS:
        return BuiltinWeights()
    if text.startswith(_BUILTIN):
        raise ValueError(f"weights must be {FORMS}, and is {text!r}: the one built in is {BUILTIN_WEIGHTS}")
    if text.startswith(_HUB):
        return _hub(text)
    if text.startswith(_HTTPS):
        return _url(text)
    scheme = _SCHEME.match(text)
    if scheme is not None:
        hint = "; addresses must begin with https://" if scheme[0].lower().startswith("http") else ""
        raise ValueError(f"weights must be {FORMS}, and is {text!r}{hint}")
    return LocalWeights(path=text)


def check_source(source: str, *, untrained: bool) -> None:
    """Raises ValueError, for an options class, where `source` is none of the forms above or random without the flag."""
    if isinstance(parse_source(source), RandomWeights) and not untrained:
        raise ValueError("weights must be trained, or have `untrained: true` beside them, which brands every score")


def is_pinned(source: str) -> bool:
    """Whether what `source` names cannot change unseen; also True where it names nothing that kreabench fetches."""
    try:
        return parse_source(source).pinned
    except ValueError:
        return True


def _hub(text: str) -> HubWeights:
    where, at, revision = text.removeprefix(_HUB).rpartition("@")
    if not at:
        raise ValueError(f"weights {text!r} lack @REVISION: best a commit of the repository, 40 hexadecimal digits")
    owner, _, rest = where.partition("/")
    name, slash, file = rest.partition("/")
    if not (_is_repo_name(owner) and _is_repo_name(name)):
        raise ValueError(f"weights {text!r} must be hub:OWNER/NAME[/FILE]@REVISION")
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise ValueError(f"weights {text!r} need a commit, branch or tag after @, and have {revision!r}")
    if slash:
        _check_file(text, file)
    return HubWeights(repo=f"{owner}/{name}", file=file or None, revision=revision)


def _is_repo_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and "--" not in name and ".." not in name


def _check_file(text: str, file: str) -> None:
    parts = file.split("/")
    if any(part in {"", ".", ".."} for part in parts) or "\\" in file:
        raise ValueError(f"weights {text!r} must name a file inside the repository, and name {file!r}")
    _check_suffix(text, file)


def _check_suffix(text: str, file: str) -> None:
    if not file.lower().endswith(SUFFIXES):
        raise ValueError(f"weights {text!r} must name a file ending in {', '.join(SUFFIXES)}")


def _url(text: str) -> UrlWeights:
    address, hash_mark, fragment = text.partition("#")
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"weights must be an https address, and is {text!r}: {error}") from None
    if "@" in parts.netloc:
        raise ValueError(f"weights must be an https address without a password, and is one of {host}")
    if not host or "\\" in address or " " in address:
        raise ValueError(f"weights must be an https address with a host, and is {text!r}")
    source = UrlWeights(address=address, sha256=_fragment(text, fragment) if hash_mark else None)
    if not source.file_name.isprintable():
        raise ValueError(f"weights must be an https address of a file with a printable name, and is {text!r}")
    _check_suffix(text, source.file_name)
    return source


def _fragment(text: str, fragment: str) -> str:
    name, _, digest = fragment.partition("=")
    if name != "sha256" or not _SHA256.fullmatch(digest.lower()):
        raise ValueError(f"weights {text!r} must end in #sha256= and 64 hexadecimal digits, or have no #")
    return digest.lower()
