"""Making a picture and its reference comparable, for every metric of fidelity, and saying what was done.

A picture is never enlarged: that would invent pixels. What is done to a pair, and what compression has done to it
already, is noted with its score.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kreabench.core.errors import one_line
from kreabench.metrics.base import Score, ScoreItem, failed
from kreabench.metrics.jpeg import JpegCompression, read_compression

if TYPE_CHECKING:
    from PIL.Image import Image

ASPECT_TOLERANCE = 0.01
"""How far two ratios of width to height may differ for one picture to be shrunk to the other's size."""

_SIZES = ("equal", "shrink")
_FORMATS = ("as_delivered", "match")


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparableOptions:
    """What is compared with what; the base of the options of every metric of fidelity."""

    sizes: Literal["equal", "shrink"] = "equal"
    """`equal` compares pictures of one size alone; `shrink` shrinks the larger of two of one shape, with a note."""
    formats: Literal["as_delivered", "match"] = "as_delivered"
    """`as_delivered` notes a lossy format; `match` compresses the lossless picture of a pair as the JPEG beside it."""

    def __post_init__(self) -> None:
        """Raises ValueError, which `config/` turns into a message that names the key."""
        if self.sizes not in _SIZES:
            raise ValueError(f"sizes must be {' or '.join(_SIZES)}, and is {self.sizes!r}")
        if self.formats not in _FORMATS:
            raise ValueError(f"formats must be {' or '.join(_FORMATS)}, and is {self.formats!r}")

    def identity(self) -> dict[str, Any]:
        """What a metric's identity says of it."""
        return {"sizes": self.sizes, "formats": self.formats}


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One picture of a pair."""

    name: str
    """`picture` or `reference`."""
    image: Image
    sha256: str
    """Of the file, with what was done to the picture since; empty where it is not known."""
    format: str
    path: Path | None

    @property
    def size(self) -> tuple[int, int]:
        return self.image.size


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two pictures of one size."""

    picture: Side
    reference: Side
    notes: tuple[str, ...] = ()
    """For the score."""


class _NotComparable(Exception):
    """Why a metric does not apply."""


def comparable(item: ScoreItem, options: ComparableOptions) -> Pair | Score:
    """The two pictures as they are to be compared, or the score where they cannot be."""
    if item.reference is None:
        return Score(status="not_applicable", value=None, reason="there is no reference picture")
    pair = Pair(
        picture=Side(name="picture", image=item.image, sha256=item.sha256, format=item.format, path=item.path),
        reference=Side(
            name="reference",
            image=item.reference,
            sha256=item.reference_sha256,
            format=item.reference_format,
            path=item.reference_path,
        ),
    )
    try:
        pair, shrunk = _one_size(pair, options)
        return _one_format(pair, shrunk) if options.formats == "match" else _as_delivered(pair)
    except _NotComparable as reason:
        return Score(status="not_applicable", value=None, reason=str(reason))
    except Exception as error:  # one damaged file must not cost the others their score
        return failed(one_line(error))


def _one_size(pair: Pair, options: ComparableOptions) -> tuple[Pair, str]:
    """The pair at the smaller size, and the name of the side that was shrunk; empty where none was."""
    picture, reference = pair.picture, pair.reference
    if picture.size == reference.size:
        return pair, ""
    found = "the picture has {}×{} and its reference {}×{} pixels".format(*picture.size, *reference.size)
    if options.sizes == "equal":
        raise _NotComparable(f"{found}, and pictures are never rescaled to be compared unless `sizes: shrink` says so")
    if _aspects_differ(picture.size, reference.size):
        raise _NotComparable(f"{found}: their shapes differ by more than {ASPECT_TOLERANCE:.0%}")
    larger, smaller = sorted((picture, reference), key=lambda side: side.size, reverse=True)
    if larger.size[1] < smaller.size[1]:
        raise _NotComparable(f"{found}: neither is the larger both ways, and pictures are never enlarged")
    shrunk = _shrink(larger, smaller.size)
    note = "the {} is shrunk from {}×{} to {}×{}".format(larger.name, *larger.size, *smaller.size)
    return _with(pair, shrunk, note), larger.name


def _aspects_differ(one: tuple[int, int], other: tuple[int, int]) -> bool:
    if not all((*one, *other)):
        return True
    ratio = one[0] * other[1] / (one[1] * other[0])
    return max(ratio, 1 / ratio) - 1.0 > ASPECT_TOLERANCE


def _shrink(side: Side, size: tuple[int, int]) -> Side:
    import PIL.Image

    image = side.image.resize(size, PIL.Image.Resampling.LANCZOS)  # Pillow filters before it drops pixels
    return replace(side, image=image, sha256=_changed(side, "shrunk to {}×{}".format(*size)))


def _changed(side: Side, change: str) -> str:
    return f"{side.sha256}, {change}" if side.sha256 else ""


def _with(pair: Pair, side: Side, note: str) -> Pair:
    sides: dict[str, Any] = {side.name: side}
    return replace(pair, **sides, notes=(*pair.notes, note))


def _as_delivered(pair: Pair) -> Pair:
    """A lossy format is said, because it costs fidelity that the model has not lost."""
    notes = [_format_note(side) for side in (pair.picture, pair.reference) if side.format != "png"]
    return replace(pair, notes=(*pair.notes, *dict.fromkeys(notes)))


def _format_note(side: Side) -> str:
    if side.format != "jpeg":
        return f"a {side.format} {side.name} is compared: its compression may cost fidelity"
    try:
        compression = read_compression(side.path) if side.path is not None else ""
    except OSError:  # the picture was decoded from elsewhere: its score does not depend on the note
        compression = ""
    known = f" ({compression})" if isinstance(compression, JpegCompression) else ""
    what = "a JPEG" if side.name == "picture" else "a JPEG reference"
    return f"{what}{known} is compared: its compression alone costs fidelity"


def _one_format(pair: Pair, shrunk: str) -> Pair:
    """The lossless side compressed as the other; a pair of one format as it is."""
    lossy = [side for side in (pair.picture, pair.reference) if side.format != "png"]
    if not lossy:
        return pair
    compressions = [_compression(side) for side in lossy]
    if shrunk in {side.name for side in lossy}:
        raise _NotComparable(f"the {shrunk} was compressed before it was shrunk, which cannot be repeated on the other")
    if len(lossy) == 2:
        if compressions[0] != compressions[1]:
            both = " and ".join(f"({compression})" for compression in compressions)
            raise _NotComparable(f"picture and reference are JPEGs of two compressions {both}, which cannot be undone")
        return replace(pair, notes=(*pair.notes, f"both are JPEGs of one compression ({compressions[0]})"))
    other = pair.reference if lossy[0].name == "picture" else pair.picture
    if other.size == (0, 0):
        raise _NotComparable("there are no pixels")
    matched = replace(
        other,
        image=compressions[0].applied_to(other.image),
        sha256=_changed(other, f"compressed as {lossy[0].sha256}") if lossy[0].sha256 else "",
    )
    return _with(pair, matched, f"the {other.name} is compressed as the {lossy[0].name} is: JPEG, {compressions[0]}")


def _compression(side: Side) -> JpegCompression:
    if side.format != "jpeg":
        raise _NotComparable(
            f"the {side.name} is a {side.format}, and how strongly it is compressed is not in the file"
        )
    if side.path is None:
        raise ValueError(f"the file of the {side.name} is not known, so its compression cannot be read")
    found = read_compression(side.path)
    if isinstance(found, str):
        raise _NotComparable(f"the {side.name} is {found}, whose compression cannot be repeated")
    return found
