"""What draws the pictures without a model: patterns, or the files of a folder. Neither imports torch."""

from __future__ import annotations

import hashlib
import random
from collections import OrderedDict
from pathlib import Path

from kreabench.backends.encoding import encode_picture
from kreabench.backends.options import FalEmulatorOptions
from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.emulator.order import Order, Painter

_PATTERN_CELLS = 8
_PATTERN_LEVELS: dict[str, float] = {"none": 0.0, "regular": 2.0, "high": 6.0}
"""Grey levels by which an acceleration moves a pattern, so that fidelity has something to measure."""

_CACHE_BYTES = 128 * 2**20
_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


class PictureCache:
    """Encoded pictures by what they were made from, the least used out first; bounded in bytes."""

    def __init__(self, most_bytes: int = _CACHE_BYTES) -> None:
        self._most_bytes = most_bytes
        self._files: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._bytes = 0

    def get(self, key: tuple[object, ...]) -> bytes | None:
        """The file, if it is there."""
        if key in self._files:
            self._files.move_to_end(key)
        return self._files.get(key)

    def put(self, key: tuple[object, ...], content: bytes) -> bytes:
        """Keep `content` and give it back."""
        self._files[key] = content
        self._bytes += len(content)
        while self._bytes > self._most_bytes and len(self._files) > 1:
            self._bytes -= len(self._files.popitem(last=False)[1])
        return content


class PatternPainter:
    """Mosaics of 8 × 8 colours that follow from prompt, seed, acceleration and input pictures.

    Few colours in flat cells: a megapixel is drawn and encoded in 3 ms (JPEG) or 8 ms (PNG) of one core.
    """

    def __init__(self, version: int = 0, noise: float = 0.0, seed: int | None = None) -> None:
        """Every `version` has patterns of its own; `noise`, in grey levels, is drawn anew for each, from `seed`."""
        self._version, self._noise = version, noise
        self._random = random.Random(seed)  # noqa: S311
        self._cache = PictureCache()

    def open(self) -> None:
        """Import what draws, so that the first request is no slower than the others."""
        import numpy  # noqa: F401
        import PIL.Image  # noqa: F401

    def paint(self, order: Order) -> list[bytes]:
        """Picture k is the pattern of seed + k."""
        return [self._pattern(order, order.seed + index) for index in range(order.num_images)]

    def close(self) -> None:
        """Nothing to release."""

    def _pattern(self, order: Order, seed: int) -> bytes:
        import numpy as np
        from PIL.Image import Resampling, fromarray

        text = f"{seed}\n{order.prompt}".encode("utf-8", "surrogatepass")
        version = [str(self._version).encode()] if self._version else []
        digest = hashlib.sha256(b"\n".join([text, *order.inputs, *version])).digest()
        key = (digest, order.width, order.height, order.output_format, order.acceleration)
        kept = self._cache.get(key)
        if kept is not None:
            return kept
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        cells = rng.uniform(16, 240, (_PATTERN_CELLS, _PATTERN_CELLS, 3))
        shift = _PATTERN_LEVELS.get(order.acceleration, 4.0)
        cells += rng.choice([-shift, shift], cells.shape)
        if self._noise:
            fresh = np.random.default_rng(self._random.getrandbits(64))
            cells += fresh.normal(0.0, self._noise, cells.shape)
        mosaic = fromarray(cells.clip(0, 255).astype(np.uint8)).resize((order.width, order.height), Resampling.NEAREST)
        if self._noise:
            return encode_picture(mosaic, order.output_format)
        return self._cache.put(key, encode_picture(mosaic, order.output_format))


class FolderPainter:
    """The pictures of a folder, scaled to the asked size; prompt and seed choose which."""

    def __init__(self, folder: Path) -> None:
        """Raises EnvironmentProblem when there is no picture in `folder`."""
        try:
            self._files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)
        except OSError:
            self._files = []
        if not self._files:
            expected = f"a folder of pictures ({', '.join(sorted(_SUFFIXES))})"
            raise EnvironmentProblem([Problem(key="--folder", found=str(folder), expected=expected)])
        self._cache = PictureCache()

    def open(self) -> None:
        """Read each file once. Raises EnvironmentProblem for one that is no picture."""
        from PIL import Image

        for file in self._files:
            try:
                with Image.open(file) as picture:
                    picture.verify()
            except Exception as error:  # Pillow raises many kinds; each means that this is no picture
                problem = Problem(key="--folder", found=str(file), expected="a picture that can be read")
                raise EnvironmentProblem([problem]) from error

    def paint(self, order: Order) -> list[bytes]:
        """Picture k is chosen by seed + k."""
        return [self._picture(order, order.seed + index) for index in range(order.num_images)]

    def close(self) -> None:
        """Nothing to release."""

    def _picture(self, order: Order, seed: int) -> bytes:
        from PIL import Image, ImageOps

        digest = hashlib.sha256(f"{seed}\n{order.prompt}".encode("utf-8", "surrogatepass")).digest()
        file = self._files[int.from_bytes(digest[:8], "big") % len(self._files)]
        key = (file, order.width, order.height, order.output_format)
        kept = self._cache.get(key)
        if kept is not None:
            return kept
        with Image.open(file) as picture:
            fitted = ImageOps.fit(picture.convert("RGB"), (order.width, order.height))
        return self._cache.put(key, encode_picture(fitted, order.output_format))


def black_pictures(order: Order) -> list[bytes]:
    """What the service's safety checker leaves of pictures that it flags."""
    from PIL import Image

    content = encode_picture(Image.new("RGB", (order.width, order.height)), order.output_format)
    return [content] * order.num_images


def make_painter(options: FalEmulatorOptions) -> Painter:
    """The painter that `options.images` names. Raises EnvironmentProblem."""
    if options.images == "patterns":
        return PatternPainter(options.pattern_version, options.pattern_noise, options.seed)
    if options.images == "folder":
        if options.folder is None:
            problem = Problem(key="--folder", found="nothing", expected="a folder of pictures, as --images is folder")
            raise EnvironmentProblem([problem])
        return FolderPainter(Path(options.folder))
    from kreabench.emulator.pipeline_painter import PipelinePainter

    return PipelinePainter(options)
