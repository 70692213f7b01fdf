"""What the miniature model can do, by its checker: measured through the tool, with 95 % intervals over captions.

    python benchmarks/miniature.py [--model builtin:mini|FOLDER] [--retrained FOLDER] [--prompts 100] [--parts steps,…]
                                   [--quick] [--plain] [--keep FOLDER] [--out FILE] [--write]

Parts: steps, guidance, accelerations, repeats, agreement, choices, gates, costs, and sheet, which draws the contact
sheet. Prints tables and writes them as `benchmarks/results/miniature.md` and `.json`; with `--write` also as the file
that the model card points to, and the contact sheet beside it. About twenty minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from miniature_agreement import agreement_tables
from miniature_choices import choice_tables
from miniature_costs import cost_tables, repeat_tables
from miniature_curves import acceleration_tables, guidance_tables, steps_tables
from miniature_gates import gate_tables
from miniature_runs import Bench
from miniature_sheet import FILE as SHEET_FILE
from miniature_sheet import draw_sheet
from miniature_tables import Table, document

RESULTS = Path(__file__).parent / "results" / "miniature.md"
CARD = SHEET_FILE.with_name("ACCURACY.md")
"""What the model card points to."""
PROMPTS, QUICK_PROMPTS = 100, 20
SHEET = "sheet"
PARTS: dict[str, Callable[[Bench], list[Table]]] = {
    "steps": steps_tables,
    "guidance": guidance_tables,
    "accelerations": acceleration_tables,
    "repeats": repeat_tables,
    "agreement": agreement_tables,
    "choices": choice_tables,
    "gates": gate_tables,
    "costs": cost_tables,
}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(
            folder=folder,
            model=_model(options.model),
            prompts=options.prompts,
            retrained=options.retrained and options.retrained.resolve(),
            clip=not options.plain,
        )
        tables = [table for name in options.parts if name != SHEET for table in _measured(name, bench)]
        if SHEET in options.parts:
            print(draw_sheet(bench, SHEET_FILE if options.write else options.out.with_suffix(".png")))
    if tables:
        _write(tables, bench, options.out)
        if options.write:
            _write(tables, bench, CARD, words=" --retrained FOLDER" if options.retrained else "", data=False)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="builtin:mini", help="a built-in's name, or a pipeline's folder")
    parser.add_argument(
        "--retrained", type=Path, help="folder of a pipeline that was retrained; its name stands in the table"
    )
    parser.add_argument("--prompts", type=int, default=PROMPTS, help="captions of the curves [100]")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PROMPTS} captions: a try, not a finding")
    parser.add_argument("--parts", default=",".join((*PARTS, SHEET)), help="of " + ", ".join((*PARTS, SHEET)))
    parser.add_argument("--plain", action="store_true", help="without the metrics of the small CLIP")
    parser.add_argument("--keep", type=Path, help="keep the runs in this folder; finished ones are not drawn again")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the Markdown file; the data stand beside it")
    parser.add_argument("--write", action="store_true", help="write the files of the package")
    options = parser.parse_args(arguments)
    options.parts = options.parts.split(",")
    if unknown := set(options.parts) - {*PARTS, SHEET}:
        parser.error(f"--parts: no part is called {sorted(unknown)[0]}; there are {', '.join((*PARTS, SHEET))}")
    if options.quick:
        options.prompts = QUICK_PROMPTS
    whole = not (options.quick or options.plain) and options.model == "builtin:mini"
    if options.write and not (whole and {*PARTS} <= {*options.parts}):
        parser.error("--write: the package's file holds all parts of builtin:mini, without --quick or --plain")
    if options.prompts < QUICK_PROMPTS:
        parser.error(f"--prompts: at least {QUICK_PROMPTS}")
    return options


def _model(name: str) -> str:
    return name if name.startswith("builtin:") else str(Path(name).resolve())


def _measured(name: str, bench: Bench) -> list[Table]:
    """The tables of one part, printed as soon as they are there."""
    began = time.monotonic()
    tables = PARTS[name](bench)
    for table in tables:
        print(table.as_text(), flush=True)
    print(f"[{name}: {time.monotonic() - began:.0f} s]", file=sys.stderr, flush=True)
    return tables


def _write(tables: Sequence[Table], bench: Bench, out: Path, *, words: str = "", data: bool = True) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        f"Written by `python benchmarks/miniature.py --write{words}`; every picture was drawn, scored and decided on "
        "by kreabench",
        "itself. Intervals are those of 95 %, over captions: pictures of one caption are no independent observations.",
        "The seeds are new to the model. Of the captions those of one shape are not, as all 3,600 that there are were "
        "trained on; of those",
        "of two shapes about half are.",
    ]
    out.write_text(document("How accurate the miniature is", lines, tables), encoding="utf-8")
    if data:
        found = {"model": bench.model, "prompts": bench.prompts, "tables": [asdict(table) for table in tables]}
        out.with_suffix(".json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(out)


if __name__ == "__main__":
    raise SystemExit(main())
