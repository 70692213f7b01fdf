"""Draws the input pictures of conf/prompts/miniature_images.jsonl, and writes that file, from the table below.

    python benchmarks/draw_miniature_pictures.py [FOLDER]

FOLDER is conf/prompts where none is given. Pictures of the world that the miniature was trained on, for image-to-image
and redux on it. A test compares the committed files with what is made here.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from kreabench.drawn.captions import Claims, caption, parse
from kreabench.drawn.render import render
from kreabench.drawn.scene import Ground, Item, Scene, redrawn

PROMPTS = Path(__file__).parents[1] / "conf" / "prompts"
NAME = "miniature_images"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A picture and the words beside it."""

    id: str
    shows: str
    """The whole caption of the picture."""
    prompt: str

    @property
    def category(self) -> str:
        """Whether the words ask for something that the picture does not show."""
        return "changed" if "-to-" in self.id else "kept"


ROWS = (
    Row(
        id="red-to-blue",
        shows="a large red circle in the centre on a plain white background",
        prompt="a large blue circle in the centre on a plain white background",
    ),
    Row(
        id="green-to-purple",
        shows="a green ring above a yellow square on a plain grey background",
        prompt="a purple ring above a yellow square on a plain grey background",
    ),
    Row(
        id="square-to-triangle",
        shows="a large orange square on the left on a dotted grey background",
        prompt="a large orange triangle on the left on a dotted grey background",
    ),
    Row(
        id="circle-to-cross",
        shows="a blue circle to the left of a red ring on a plain black background",
        prompt="a blue cross to the left of a red ring on a plain black background",
    ),
    Row(
        id="small-to-large",
        shows="a small yellow triangle in the centre on a plain black background",
        prompt="a large yellow triangle in the centre on a plain black background",
    ),
    Row(
        id="left-to-right",
        shows="a small purple square on the left on a plain pink background",
        prompt="a small purple square on the right on a plain pink background",
    ),
    Row(
        id="top-to-bottom",
        shows="a small green circle at the top on a striped white background",
        prompt="a small green circle at the bottom on a striped white background",
    ),
    Row(
        id="above-to-below",
        shows="an orange cross above a blue square on a plain white background",
        prompt="an orange cross below a blue square on a plain white background",
    ),
    Row(
        id="white-to-black",
        shows="a large green cross in the centre on a plain white background",
        prompt="a large green cross in the centre on a plain black background",
    ),
    Row(
        id="pink-to-grey",
        shows="a purple circle to the right of a green triangle on a plain pink background",
        prompt="a purple circle to the right of a green triangle on a plain grey background",
    ),
    Row(
        id="plain-to-striped",
        shows="a large red ring in the centre on a plain pink background",
        prompt="a large red ring in the centre on a striped pink background",
    ),
    Row(
        id="dotted-to-plain",
        shows="a yellow square below a purple triangle on a dotted white background",
        prompt="a yellow square below a purple triangle on a plain white background",
    ),
    Row(
        id="red-square",
        shows="a large red square in the centre on a plain grey background",
        prompt="a red square",
    ),
    Row(
        id="blue-triangle",
        shows="a small blue triangle on the right on a plain pink background",
        prompt="a blue triangle",
    ),
    Row(
        id="green-cross",
        shows="a large green cross at the top on a striped white background",
        prompt="a green cross",
    ),
    Row(
        id="orange-ring",
        shows="a large orange ring at the bottom on a dotted black background",
        prompt="an orange ring",
    ),
    Row(
        id="purple-circle",
        shows="a small purple circle on the left on a plain white background",
        prompt="a purple circle",
    ),
    Row(
        id="yellow-square",
        shows="a small yellow square in the centre on a striped black background",
        prompt="a yellow square",
    ),
    Row(
        id="red-beside-green",
        shows="a red circle to the left of a green square on a plain white background",
        prompt="a red circle to the left of a green square",
    ),
    Row(
        id="blue-above-orange",
        shows="a blue cross above an orange circle on a plain pink background",
        prompt="a blue cross above an orange circle",
    ),
    Row(
        id="yellow-beside-purple",
        shows="a yellow ring to the right of a purple cross on a dotted grey background",
        prompt="a yellow ring to the right of a purple cross",
    ),
    Row(
        id="green-below-red",
        shows="a green triangle below a red square on a striped grey background",
        prompt="a green triangle below a red square",
    ),
    Row(
        id="purple-beside-blue",
        shows="a purple square to the left of a blue ring on a plain black background",
        prompt="a purple square to the left of a blue ring",
    ),
    Row(
        id="orange-above-yellow",
        shows="an orange triangle above a yellow circle on a dotted pink background",
        prompt="an orange triangle above a yellow circle",
    ),
)


def claims_of(text: str) -> Claims:
    """What a caption of the table says."""
    claims = parse(text)
    if claims is None or caption(claims) != text:
        raise ValueError(f"expected a caption of the drawn world, found {text!r}")
    return claims


def drawn(row: Row) -> Image.Image:
    """Its picture; where the words leave room, the row's place in the table decides."""
    claims = claims_of(row.shows)
    named = Scene(
        items=tuple(Item(colour=colour, shape=shape, x=0.5, y=0.5, radius=0.2) for colour, shape in claims.items),
        ground=Ground(colour=claims.background or "white", texture=claims.texture or "plain"),
        size=claims.size,
        place=claims.place,
        relation=claims.relation,
    )
    return Image.fromarray(render(redrawn(named, np.random.default_rng(ROWS.index(row)))))


def lines() -> str:
    """The prompt file."""
    return "".join(
        json.dumps(
            {
                "id": row.id,
                "category": row.category,
                "image": f"{NAME}/{row.id}.png",
                "prompt": row.prompt,
                "look_for": f"the picture shows {row.shows}",
            }
        )
        + "\n"
        for row in ROWS
    )


def main(folder: Path) -> None:
    """Write the prompt file, and every picture as a PNG."""
    (folder / NAME).mkdir(parents=True, exist_ok=True)
    (folder / f"{NAME}.jsonl").write_text(lines(), encoding="utf-8")
    for row in ROWS:
        drawn(row).save(folder / NAME / f"{row.id}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PROMPTS)
