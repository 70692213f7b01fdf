"""`kreabench history` from run directories to files."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from kreabench.cli.main import main
from kreabench.core.planned import Request
from kreabench.decisions.history_runs import open_runs
from tests.history_runs import history_run


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["history", *arguments])
    return int(exit_.value.code or 0)


def score(drop: float, request: Request) -> float:
    return 30 + int(request.prompt_id[-1]) - drop - 0.01 * request.seed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four runs, the last two of a later version, of which the names say nothing of their order."""
    monkeypatch.chdir(tmp_path)
    for name, day in (("d", 1), ("c", 2), ("b", 3), ("a", 4)):
        history_run(
            tmp_path / name,
            {"clip": partial(score, 2.0 if day > 2 else 0.0)},
            day=day,
            versions={"torch": "2.15.0" if day > 2 else "2.14.0"},
        )
    return tmp_path


def test_runs_are_put_in_order_and_drawn(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("a", "b", "c", "d", "--json", "found.json", "--metrics", "clip") == 0
    out = capfd.readouterr().out
    assert "#1 d" in out
    assert "clip: a step between #2 c and #3 b: by -2.0" in out
    assert "exact: the runs repeat" in out
    assert "torch 2.14.0 → 2.15.0" in out
    assert (folder / "reports" / "history" / "index.html").exists()
    content = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    assert [run["name"] for run in content["runs"]] == ["d", "c", "b", "a"]
    assert [side.name for side in open_runs(["a", "d"], setting=None, by="order")] == ["a", "d"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("a",), "at least two runs"),
        (("a", "./a"), "./a twice"),
        (("a", "nowhere"), "there is no folder nowhere"),
        (("a", "b", "--setting", "steps=99"), "a selection of its settings"),
        (("a", "b", "--metrics", "clap"), "did you mean clip"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    folder: Path, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    assert call(*arguments) == 2
    assert told in capfd.readouterr().err
    assert not (folder / "reports").exists()
