"""What a target says of its model in its own words stands before every number, as `untrained` does."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from kreabench.analysis.notices import notice
from kreabench.cli.run_show import print_run
from kreabench.config.resolve import load
from kreabench.core.errors import ConfigError
from kreabench.pipeline import branded
from kreabench.report.html_page import render_html
from kreabench.report.markdown_page import render_markdown
from kreabench.report.report_page import report_page
from kreabench.report.tables import settings_csv
from kreabench.rundir.directory import RunDirectory
from tests.report_runs import TWO_TARGETS, make_run
from tests.support import make_target
from tests.test_report import LOCAL, document_of
from tests.test_report_data import data_of, evidence_of

NOTE = "miniature model on drawn pictures"
EMULATED = "emulated service: numbers show the tool, not the model"
NOTED = replace(TWO_TARGETS[0], untrained=False, model_note=NOTE)


@pytest.mark.parametrize(
    ("targets", "text"),
    [
        ([("a", NOTE, False)], NOTE),
        ([("a", NOTE, False), ("b", NOTE, False)], NOTE),
        ([("a", NOTE, False), ("b", NOTE, True)], f"{NOTE}. {EMULATED}"),
        ([("a", NOTE, False), ("b", "", False)], f"{NOTE} (a)"),
        ([("a", NOTE, False), ("b", "another", False), ("c", NOTE, False)], f"{NOTE} (a, c). another (b)"),
        ([("a", "", False)], None),
    ],
)
def test_each_note_is_said_once_and_of_whom(targets: Sequence[tuple[str, str, bool]], text: str | None) -> None:
    made = [
        make_target(name=name, model_note=note, emulated=emulated, untrained=False) for name, note, emulated in targets
    ]
    assert notice(made) == text


def test_the_banner_of_the_demo_is_about_the_miniature() -> None:
    assert notice(load(["experiment=demo"]).experiment.targets) == f"{NOTE}. {EMULATED}"


def test_a_note_is_in_every_form_of_the_report(tmp_path: Path) -> None:
    document = document_of(tmp_path / "run", **LOCAL | {"targets": (NOTED,)})
    assert (document.notices[0].level, document.notices[0].text) == ("warning", NOTE)
    page = report_page(document)
    html, text = render_html(page), render_markdown(page)
    assert NOTE in html
    assert text.count(NOTE) >= 2, "the banner, and what the target is"
    assert NOTE in settings_csv(document.summaries, document.brand)
    assert all(figure.brand == NOTE for figure in document.figures)
    for words in ("untrained", "numbers show the tool"):
        assert words not in document.brand


def test_a_note_is_in_the_data_of_the_page_and_on_the_terminal(tmp_path: Path) -> None:
    data = data_of(evidence_of(tmp_path / "data", **LOCAL | {"targets": (NOTED,)}))
    assert data.notices[0].text == NOTE
    run, plan = make_run(tmp_path / "run", **LOCAL | {"targets": (NOTED,)})
    out = io.StringIO()
    print_run(Console(file=out, width=200), run, plan)
    assert NOTE in out.getvalue()


def test_a_note_is_no_markup(tmp_path: Path) -> None:
    hostile = replace(NOTED, model_note="<b>bold</b>\n| a | b\u202e")
    page = report_page(document_of(tmp_path / "run", **LOCAL | {"targets": (hostile,)}))
    assert "<b>bold" not in render_html(page) + render_markdown(page)
    assert "\u202e" not in render_html(page)


def test_a_run_from_before_there_were_notes_reads_as_one_without(tmp_path: Path) -> None:
    run, _ = make_run(tmp_path / "run", **LOCAL | {"targets": (NOTED,)})
    file = run.path / "run.json"
    content = json.loads(file.read_bytes())
    for target in content["experiment"]["targets"]:
        assert target.pop("model_note") == NOTE
    file.write_text(json.dumps(content))
    assert [target.model_note for target in RunDirectory.open(run.path).info.experiment.targets] == [""]


def test_the_note_on_what_is_drawn_cannot_be_taken_off() -> None:
    (found,) = branded([replace(NOTED, model_note="")], [NOTED])
    assert found.model_note == NOTE
    (added,) = branded([NOTED], [replace(NOTED, model_note="")])
    assert added.model_note == NOTE


@pytest.mark.parametrize("note", ["'two\\nlines'", "x" * 81])
def test_a_note_is_a_few_words_on_a_line(note: str) -> None:
    text = note.strip("'").replace("\\n", "\n")
    with pytest.raises(ConfigError, match=r"target\.fake_local\.model_note"):
        load(["target=[fake_local]", f'target.fake_local.model_note="{text}"'])


@pytest.mark.parametrize(
    "words",
    [
        ("target=[mini_local]", "target.mini_local.model=builtin:mini-untrained"),
        ("target=[mini_fal]", "target.mini_fal.service.options.model=builtin:mini-untrained"),
        (
            "target=[mini_local_redux]",
            "prompts=miniature_images",
            "target.mini_local_redux.options.redux_model=builtin:mini-untrained-redux",
        ),
    ],
)
def test_random_weights_do_not_pass_for_the_miniature(words: tuple[str, ...]) -> None:
    (target,) = load(words).experiment.targets
    assert (target.untrained, target.model_note) == (True, "")
