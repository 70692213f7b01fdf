"""`kreabench load` from the command line to the report, against a server on loopback of known capacity."""

from __future__ import annotations

import csv
import re
import shlex
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kreabench.config.resolve import load
from kreabench.core.errors import ConfigError
from kreabench.core.planned import Plan
from kreabench.decisions.load_levels import load_curves
from kreabench.plan_build import build_plan
from kreabench.plan_of_run import plan_of
from kreabench.plan_requests import arrival_instants
from kreabench.report.explorer.command import Commands
from kreabench.rundir.directory import RunDirectory
from kreabench.rundir.table import join_table
from tests.command_support import Call, command_line
from tests.hf_support import Reply, Seen, serving
from tests.support import encode_image, make_run, picture
from tests.test_openai_images import b64_reply

WORK_S = 0.15
PICTURES = [encode_image(picture(256, 256, seed=seed)) for seed in range(2)]
SMALL = ("target=[openai_images]", "axes.size=[256x256]", "prompts=short", "prompts.limit=3", "metrics=[]")


@pytest.fixture(name="call")
def _call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Run a command line in an empty folder: exit code, what was printed."""
    monkeypatch.chdir(tmp_path)
    return command_line(capfd)


class OneAtATime:
    """Draws one picture after the other; every tenth or so it refuses."""

    def __init__(self, refuses: Callable[[int], bool] = lambda _: False) -> None:
        self._lock = threading.Lock()
        self._refuses = refuses
        self.asked = 0

    def __call__(self, seen: Seen) -> Reply:
        self.asked += 1
        if self._refuses(self.asked):
            return replace(b64_reply(), status=429)
        with self._lock:
            time.sleep(WORK_S)
        return b64_reply(PICTURES[int(seen.json()["seed"]) % 2])


def at(url: str, *more: str) -> tuple[str, ...]:
    return (*SMALL, f"target.openai_images.options.base_url={url}/v1", *more)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_service_is_put_under_load_and_its_knee_is_found(call: Call, tmp_path: Path) -> None:
    """One picture in 0.15 s are 6.7 a second at best: 1 a second is little, 25 are too many."""
    with serving(OneAtATime()) as server:
        arguments = at(server.url, "load.rate=[1,25]", "load.duration_s=4", "load.drain_s=60", "load.objective_s=1.5")
        code, said = call("load", *arguments)
        assert code == 0, said
        assert "under load" in said
        assert "The knee " in said
        asked = len(server.posts())
        code, said = call("load", *arguments)
        assert (code, len(server.posts())) == (0, asked), "a level that has begun was gone on with"
    report = tmp_path / "reports" / "load"
    light, heavy = rows_of(report / "load.csv")
    assert (light["load"], heavy["load"]) == ("1.0", "25.0")
    assert (light["grows"], heavy["grows"]) == ("False", "True")
    assert int(heavy["sent"]) == int(heavy["planned"]) == asked - int(light["sent"])
    assert 0.5 < float(heavy["knee"]) < 1.3 / WORK_S
    assert float(heavy["latency_s"]) > float(light["latency_s"]) >= WORK_S
    assert heavy["objective"] == "broken"
    assert heavy["pairs"] == heavy["same_files"] == light["sent"], "the same seed gives the same picture"
    assert (report / "figures" / "load-1.png").stat().st_size > 5000
    assert (report / "figures" / "load-1.svg").is_file()
    assert "Under load" in (report / "report.md").read_text(encoding="utf-8")
    described = {
        row["column"]: row["meaning"] for row in rows_of(report / "data_dictionary.csv") if row["file"] == "load.csv"
    }
    assert [column for column, meaning in described.items() if not meaning] == []
    code, said = call("show", "runs/load")
    assert code == 0
    assert "The knee " in said


def test_a_closed_loop_ends_by_itself_and_refusals_are_counted(call: Call, tmp_path: Path) -> None:
    with serving(OneAtATime(lambda number: number % 5 == 0)) as server:
        code, _ = call(
            "load",
            *at(server.url, "load.arrivals=closed", "load.in_flight=[1,3]", "load.duration_s=3", "name=closed"),
        )
    assert code == 4, "some samples have failed"
    one, three = rows_of(tmp_path / "reports" / "closed" / "load.csv")
    assert (one["load"], three["load"], three["growth_per_s"]) == ("1.0", "3.0", "")
    assert int(three["most_in_system"]) <= 3
    assert 0 < float(three["error_share"]) < 0.6
    assert int(one["failed"]) + int(three["failed"]) == sum(
        number % 5 == 0 for number in range(1, len(server.posts()) + 1)
    )
    page = (tmp_path / "reports" / "closed" / "report.md").read_text(encoding="utf-8")
    code, shown = call("show", "runs/closed")
    code, compared = call("compare", "runs/closed:concurrency=1", "runs/closed:concurrency=3")
    for text in (page, shown, compared):
        assert not re.search("not finished|not run yet|not been drawn", text, re.IGNORECASE), "its duration was over"
    assert ", 0 not done" in " ".join(shown.split())


def test_the_budget_is_kept(call: Call, tmp_path: Path) -> None:
    price = (
        "pricing.endpoints={black-forest-labs/FLUX.1-Krea-dev: {usd_per_image: 0.01, source: test, date: '2026-01-01'}}"
    )
    with serving(OneAtATime()) as server:
        code, said = call(
            "load",
            *at(server.url, "load.rate=[8]", "load.duration_s=3", "budget.usd=0.05", "load.arrivals=fixed", price),
        )
        assert code == 5, said
        assert len(server.posts()) == 5
    assert "5 of 24 samples delivered, 0 failed, 19 not drawn as their level was cut short" in said
    shown = " ".join(call("show", "runs/load")[1].split())
    assert "Cut short: 19 of 24 requests were not drawn" in shown
    assert "Not finished" not in shown
    (row,) = rows_of(tmp_path / "reports" / "load" / "load.csv")
    assert (row["sent"], row["cut_short"]) == ("5", "True")


def planned(*overrides: str) -> Plan:
    return build_plan(load([*at("http://127.0.0.1:1"), "run.load=on", *overrides]).experiment)


def test_arrivals_are_drawn_in_the_plan_and_every_level_has_the_same_pictures() -> None:
    plan, again, other = planned(), planned(), planned("load.seed=1")
    assert plan == again
    assert plan.hash != other.hash
    assert [group.settings[0].rate_per_s for group in plan.groups] == [0.5, 1.0, 2.0, 4.0]
    assert len({setting.reference_id for setting in plan.settings}) == 1
    assert plan.settings[0].reference_id == plan.settings[0].id
    light, heavy = plan.groups[0].requests, plan.groups[-1].requests
    assert [(one.prompt_id, one.seed, one.repeat) for one in light] == [
        (one.prompt_id, one.seed, one.repeat) for one in heavy[: len(light)]
    ]
    instants = [one.at_s for one in heavy]
    assert instants == sorted(instants, key=lambda at_s: at_s or 0.0)
    assert max(at_s or 0.0 for at_s in instants) < 60
    assert len({one.id for group in plan.groups for one in group.requests}) == plan.request_count
    assert planned("load.duration_s=30").hash != plan.hash


@pytest.mark.parametrize("arrivals", ["poisson", "closed"])
def test_the_report_has_the_command_that_draws_a_level_again(arrivals: str, tmp_path: Path) -> None:
    composed = load([*SMALL, "run.load=on", f"load.arrivals={arrivals}", "load.duration_s=20"])
    plan = build_plan(composed.experiment)
    run = make_run(tmp_path / "run", experiment=composed.experiment)
    (run.path / "config.yaml").write_text(composed.config_yaml, encoding="utf-8")
    by_id = {setting.id: setting for setting in plan.settings}
    for setting in plan.settings:
        line = Commands(run).of(setting, by_id[str(setting.reference_id)])
        assert line.startswith("kreabench run "), line
        again = build_plan(load(shlex.split(line)[2:]).experiment)
        group, same = (next(g for g in one.groups if g.settings[0].id == setting.id) for one in (plan, again))
        assert (group.requests, len(again.settings)) == (same.requests, 1 + (setting.id != setting.reference_id))


def test_random_arrivals_come_at_their_rate_and_fixed_ones_evenly() -> None:
    experiment = load([*at("http://127.0.0.1:1"), "run.load=on"]).experiment
    assert experiment.traffic is not None
    long = replace(experiment.traffic, duration_s=20_000.0, max_requests=100_000)
    instants = [at_s for at_s in arrival_instants(long, 2.0) if at_s is not None]
    gaps = [later - earlier for earlier, later in pairwise(instants)]
    assert len(instants) == pytest.approx(40_000, rel=0.03)
    # Of an exponential distribution the share above the mean is 1/e.
    assert sum(gap > 0.5 for gap in gaps) / len(gaps) == pytest.approx(0.3679, abs=0.01)
    even = list(arrival_instants(replace(long, arrivals="fixed", duration_s=2.0), 4.0))
    assert even == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75]


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["target=[openai_images,fake_local]", "run.load=on", "engine=ray"], "engine"),
        (["run.load=on", "load.rate=[50]"], "load.max_requests"),
        (["run.load=on", "run.concurrency=4"], "run.concurrency"),
        (["run.load=on", "run.repeats=2"], "run.repeats"),
        (["run.load=on", "load.rate=[0]"], "load.rate"),
        (["run.load=on", "load.objective_share=1"], "load.objective_share"),
        (["run.load=on", "load.arrivals=uniform"], "load.arrivals"),
        (["run.load=on", "load.rates=[1]"], "load.rates"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_key(overrides: list[str], key: str) -> None:
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        load([*at("http://127.0.0.1:1"), *overrides])


def test_a_run_without_load_says_nothing_of_it(call: Call) -> None:
    code, _ = call(
        "run", "experiment=trial", "prompts.limit=2", "run.seeds=[0]", "run.warmup=0", "metrics=[]", "name=t"
    )
    assert code == 0
    run = RunDirectory.open(Path("runs/t"))
    plan = plan_of(run)
    table: Any = join_table(run, plan)
    assert load_curves(plan, run.records(), table) == ()
    assert not Path("reports/t/load.csv").exists()
