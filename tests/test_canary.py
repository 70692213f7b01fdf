"""`kreabench canary` day after day against a loopback fal, whose model, pace and price change without a word."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kreabench.cli.main import main
from tests.fal_emulator_support import served

SMALL = ("target.krea_fal.emulated=true", "axes.size=[64x64]", "metrics=[look]", "run.concurrency=4")
CALM = {"inference_s": 0.15, "runners": 4}


def call(folder: Path, *words: str, target: str = "krea_fal") -> tuple[int, dict[str, Any]]:
    """Exit code and what the JSON says."""
    report = folder.parent / "canary.json"
    report.unlink(missing_ok=True)
    with pytest.raises(SystemExit) as exit_:
        main(["canary", target, *words, "--dir", str(folder), "--json", str(report)])
    code = int(exit_.value.code or 0)
    content: dict[str, Any] = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
    assert not content or content["exit_code"] == code
    return code, content


def day(folder: Path, *words: str, strike: str | None = None, **service: Any) -> tuple[int, dict[str, Any]]:
    """A day at a service of these options."""
    with pytest.MonkeyPatch.context() as patch, served(http=False, **CALM | service) as live:
        for name, value in {**live.environment, "FAL_KEY": "id:secret-of-mine"}.items():
            patch.setenv(name, value)
        live.strike(strike)
        return call(folder, *SMALL, *words)


@pytest.fixture(scope="module", autouse=True)
def sigterm() -> Iterator[None]:
    """As it was before a command line took it."""
    earlier = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, earlier)


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first days at a service that repeats exactly."""
    folder = tmp_path_factory.mktemp("canary") / "days"
    code, first = day(folder)
    assert (code, first["alarms"], first["pictures"]["state"]) == (0, [], "first")
    assert "its repeats are the same bit by bit" in first["pictures"]["reason"]
    code, second = day(folder)
    assert (code, second["alarms"], second["pictures"]["state"]) == (0, [], "identical")
    assert second["scores"]["outcome"] == "passed"
    assert (second["price"]["state"], second["price"]["usd_per_image"]) == ("same", 0.025)
    assert second["day"]["requests"] == 16
    return folder


@pytest.fixture
def folder(two_days: Path, tmp_path: Path) -> Path:
    """A copy of them."""
    return Path(shutil.copytree(two_days, tmp_path / "days"))


def test_a_silent_change_of_the_model_is_named(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, found = day(folder, pattern_version=1)
    assert (code, found["alarms"][0]) == (1, "pictures")
    assert not {"latency", "price"} & set(found["alarms"])
    assert (
        "all 8 pictures differ from earlier days, on which the service repeated every picture"
        in (found["pictures"]["reason"])
    )
    out = capfd.readouterr().out
    assert "the hosted model changed" in out
    assert "days: *=C" in out
    assert "secret-of-mine" not in out
    again, same = call(folder, "--judge-only")
    assert (again, same["pictures"]) == (1, found["pictures"])
    capfd.readouterr()
    with pytest.raises(SystemExit):
        main(["canary", "krea_fal", "--judge-only", "--dir", str(folder), "--json", "-"])
    assert json.loads(capfd.readouterr().out) == same


def test_a_service_that_is_only_slower_is_told_apart(folder: Path) -> None:
    code, found = day(folder, "run.repeats=1", inference_s=1.5)
    assert (code, found["alarms"]) == (1, ["latency"])
    assert (found["pictures"]["state"], found["latency"]["state"]) == ("identical", "slower")
    assert found["verdict"].startswith("it got slower; no change: the same pictures")


def test_a_watch_that_begins_anew_is_no_calm(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, found = day(folder, "axes.steps=[9]")
    assert (code, found["alarms"], found["pictures"]["state"]) == (3, [], "first")
    assert found["day"]["requests"] == 16, "nothing is known of this setting's repeats"
    assert "no earlier day asked for the same" in found["verdict"]
    assert "asked for something else and does not count" in capfd.readouterr().out


def test_another_price_is_told_apart(folder: Path) -> None:
    code, found = day(folder, megapixel_pixels=3000)
    assert (code, found["alarms"]) == (1, ["price"])
    assert found["pictures"]["state"] == "identical"
    assert "bills 2 units for what were 1" in found["price"]["reason"]


def test_a_failed_day_is_said_and_is_no_change(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, found = day(folder, "run.repeats=1", strike="server_error")
    assert (code, found["alarms"]) == (4, [])
    assert found["pictures"]["state"] == "failed"
    assert found["day"]["failures"] == {"server_error": 8}
    assert "requests: failed: 0 of 8 delivered; 8 server_error" in capfd.readouterr().out
    assert [one["pictures"] for one in found["days"]] == ["first", "identical", "failed"]


def test_a_service_that_scatters_is_judged_by_its_own_noise(tmp_path: Path) -> None:
    states = [
        day(tmp_path / "days", pattern_noise=2.0, seed=number, pattern_version=number // 3)[1]["pictures"]["state"]
        for number in range(1, 4)
    ]
    assert states == ["first", "within", "changed"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["krea_fal", "budget.usd=0.3"], "a day that would cost about $0.4"),
        (["krea_fal", "budget.usd=null"], "the most that a day may cost"),
        (["krea_fal", "axes.steps=[4,8]", "prompts.limit=2"], "one setting"),
        (["krea_fal", "run.load=on", "load.rate=[0.1]", "load.duration_s=10"], "run.load"),
        (["krea_fal", "name=mine"], "the name of a day"),
        (["mini_local", "prompts.limit=2"], "a hosted target"),
        (["krea_fall"], "krea_fal"),
        (["krea_fal", "--distance", "ssin"], "did you mean ssim"),
        (["krea_fal", "--false-alarms-per-year", "nan"], "0.05 to 36"),
        (["../krea_fal"], "../krea_fal"),
        (["krea_fal", "--judge-only"], "the folder of a canary that has drawn a day"),
    ],
)
def test_what_cannot_be_watched_is_refused_before_anything_is_sent(
    words: list[str], told: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, _ = call(tmp_path / "days", *words[1:], target=words[0])
    assert code == 2
    assert told in capfd.readouterr().err
    assert not list(tmp_path.glob("days/*/*/run.json"))
    assert words[0] == "krea_fal" or not (tmp_path / "days").exists()


def test_a_policy_that_is_none_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    code, _ = day(tmp_path / "days", "--policy", "nope")
    assert code == 2
    assert not list(tmp_path.glob("days/*/*/run.json"))
