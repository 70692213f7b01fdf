"""`kreabench doctor`: says what will work, by asking the back ends the same question that a run asks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from kreabench.cli.main import main
from kreabench.core.errors import ExitCode
from kreabench.metrics.table import METRICS
from kreabench.metrics.weights import WeightsNeed
from tests.hub_service import HubService, use_hub


def doctor(*targets: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["doctor", *targets])
    return int(exit_.value.code or 0)


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FAL_KEY", raising=False)


def test_without_names_everything_is_listed_and_nothing_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor() == ExitCode.DONE
    out = capsys.readouterr().out
    for word in ("kreabench", "torch", "diffusers", "CPU", "GPU", "krea_local", "krea_fal", "mini_local"):
        assert word in out
    for metric in ("clip_score", "psnr", "ssim"):  # those of the default configuration
        assert re.search(rf"^{metric} +(not )?ready$", out, re.MULTILINE)


def test_a_target_that_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor("fake_local", "mini_local") == ExitCode.DONE
    assert capsys.readouterr().out.count("not ready") == 0


def test_a_missing_key_is_named_and_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor("krea_fal") == ExitCode.USAGE
    out = capsys.readouterr().out
    assert "not ready (FAL_KEY is not set)" in out


def test_a_key_is_never_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", "id:very-secret")
    assert doctor("krea_fal") == ExitCode.DONE
    out, err = capsys.readouterr()
    assert "FAL_KEY is set" in out
    assert "very-secret" not in out + err


def test_missing_weights_say_how_to_get_them(capsys: pytest.CaptureFixture[str]) -> None:
    """The tests run with HF_HUB_OFFLINE=1 and an empty cache."""
    assert doctor("krea_local") == ExitCode.USAGE
    out = capsys.readouterr().out
    assert "huggingface.co/black-forest-labs/FLUX.1-Krea-dev" in out
    assert "hf auth login" in out


@dataclass(frozen=True, kw_only=True, slots=True)
class NeedyOptions:
    """Of a metric that needs one file."""

    weights: str = "none.pt"


class Needy:
    """A metric that is never opened here."""

    def __init__(self, **options: str) -> None:
        self.needs = (WeightsNeed(name="weights of needy", source=NeedyOptions(**options).weights),)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of configuration with the metric `needy`, whose weights are at a loopback Hub."""
    row = replace(METRICS["psnr"], location="tests.test_doctor:Needy", options="tests.test_doctor:NeedyOptions")
    monkeypatch.setitem(METRICS, "needy", row)
    folder = tmp_path / "own"
    (folder / "metrics").mkdir(parents=True)
    (folder / "metrics" / "needy.yaml").write_text(
        "# @package metrics.needy\nkind: needy\noptions: {weights: hub:owner/name/x.pt@main}\n"
    )
    (folder / "experiment").mkdir()
    (folder / "experiment" / "faces.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /metrics: [psnr, needy]\nname: faces\n"
    )
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubService]:
    service = HubService()
    with use_hub(service, monkeypatch, tmp_path):
        yield service
    service.stop()


def test_what_a_metric_lacks_and_the_command_that_fetches_it(
    own: Path, hub: HubService, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor("--metrics", "psnr,needy", "--config-dir", str(own)) == ExitCode.USAGE
    out = capsys.readouterr().out
    assert re.search(r"^psnr +ready$", out, re.MULTILINE)
    assert re.search(r"^needy +not ready\n +metrics.needy.options.weights: .*the weights of needy", out, re.MULTILINE)
    assert f"kreabench doctor --fetch metrics=psnr,needy --config-dir {own}" in out
    assert "krea_local" not in out
    assert hub.requests == []


@pytest.mark.parametrize(
    "how", [("metrics=needy",), ("metrics", "--metrics", "needy"), ("metrics", "experiment=faces")]
)
def test_fetching_makes_metrics_ready(
    own: Path, hub: HubService, capsys: pytest.CaptureFixture[str], how: tuple[str, ...]
) -> None:
    hub.put("owner/name", {"x.pt": b"weights"})

    assert doctor("--fetch", *how, "--config-dir", str(own)) == ExitCode.DONE
    out = capsys.readouterr().out
    assert "fetching weights of needy for metrics.needy" in out
    assert re.search(r"^needy +ready$", out, re.MULTILINE)
    assert "not pinned" in out
    assert doctor("--metrics", "needy", "--config-dir", str(own)) == ExitCode.DONE
    assert hub.sent("x.pt") == 1


def test_what_could_not_be_fetched_says_why_and_is_an_error(
    own: Path, hub: HubService, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.put("owner/name", {"x.pt": b"weights"}, gated=True)

    assert doctor("--fetch", "metrics=needy", "--config-dir", str(own)) == ExitCode.USAGE
    out = capsys.readouterr().out
    assert out.count("metrics.needy.options.weights") == 1
    assert "Accept its licence" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("metrics", "psnr"), "did you mean --fetch metrics=psnr?"),
        (("metrics=psnr", "--metrics", "ssim"), "named twice"),
        (("weights",), "nothing called 'weights' to fetch"),
        (("metrics=",), "no metric named"),
        (("metrics=clip_scor",), "did you mean clip_score?"),
    ],
)
def test_what_to_fetch_is_said_in_one_way(
    hub: HubService, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    assert doctor("--fetch", *words) == ExitCode.USAGE
    assert says in " ".join(capsys.readouterr().err.split())
    assert hub.requests == []


def test_fetching_where_nothing_is_missing_sends_nothing(hub: HubService, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor("--fetch", "metrics=psnr,ssim") == ExitCode.DONE
    assert re.search(r"^ssim +ready$", capsys.readouterr().out, re.MULTILINE)
    assert hub.requests == []
