"""The command line as its users meet it: exit codes, one clear message, nothing measured lost."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from kreabench import pipeline
from kreabench.cli.main import COMMANDS, main
from kreabench.cli.run_table import print_failures
from kreabench.core.errors import ExitCode
from kreabench.metrics.table import METRICS
from tests.command_support import run_command
from tests.support import make_failure, make_sample

Call = Callable[..., "tuple[int, str, str]"]

SMALL = ("experiment=trial", "prompts.limit=2", "run.seeds=[0]", "run.warmup=0", "metrics=[]")
"""Four samples of drawn patterns; no model, no metric."""
SMALL_HOSTED = ("axes.size=128x128", "run.seeds=[0]", "metrics=[]", "name=hosted")


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Run a command line in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FAL_KEY", raising=False)
    return partial(run_command, capfd)


@pytest.fixture
def unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs end without their report, which takes longer than all that is drawn here."""
    monkeypatch.setattr(pipeline, "write_report", lambda run, plan, path: path / "index.html")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which SMALL has run, without a report."""
    folder = tmp_path_factory.mktemp("finished")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(pipeline, "write_report", lambda run, plan, path: path / "index.html")
        with pytest.raises(SystemExit) as exit_:
            main(["run", *SMALL])
    signal.signal(signal.SIGTERM, before)
    assert not exit_.value.code
    return folder


@pytest.fixture
def ran(call: Call, finished: Path, tmp_path: Path) -> Call:
    """`call` in a folder in which SMALL has run already."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return call


def journal(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "journal.jsonl").read_text(encoding="utf-8").splitlines()]


def samples(run: Path) -> list[dict[str, object]]:
    return [record for record in journal(run) if record["kind"] == "sample"]


def test_help_names_every_command_and_the_readme_too(call: Call) -> None:
    code, out, _ = call("--help")
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    assert code == ExitCode.DONE
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", out, re.MULTILINE)
        assert f"kreabench {name}" in readme
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(call: Call, name: str) -> None:
    code, out, _ = call(name, "--help")
    assert code == ExitCode.DONE
    assert out.startswith(f"Usage: kreabench {name}")
    assert max(map(len, out.splitlines())) <= 120


def test_an_unknown_command_and_option(call: Call) -> None:
    code, _, err = call("rum")
    assert code == ExitCode.USAGE
    assert "did you mean run?" in err
    code, _, err = call("show", "--colour")
    assert code == ExitCode.USAGE
    assert "--colour" in err


def test_a_run_from_one_command_to_a_report(call: Call, tmp_path: Path) -> None:
    code, out, err = call("run", *SMALL)
    assert (code, err) == (ExitCode.DONE, "")
    assert "4 of 4 samples delivered" in out
    assert "untrained weights: numbers show the tool, not the model" in out
    run, report = tmp_path / "runs/trial", tmp_path / "reports/trial"
    assert len(samples(run)) == 4
    assert (run / "samples.parquet").is_file()
    for name in ("index.html", "report.md", "samples.csv", "settings.csv"):
        assert (report / name).is_file()
    assert list((report / "figures").glob("*.png"))
    assert str(tmp_path) not in (report / "index.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("unwritten")
def test_the_same_run_again_draws_nothing(ran: Call, tmp_path: Path) -> None:
    before = journal(tmp_path / "runs/trial")
    code, out, _ = ran("run", *SMALL)
    assert code == ExitCode.DONE
    assert "4 of 4 samples are there already" in out
    assert journal(tmp_path / "runs/trial") == before


def test_another_plan_is_refused_saying_what_differs(ran: Call, tmp_path: Path) -> None:
    before = journal(tmp_path / "runs/trial")
    code, _, err = ran("run", *SMALL, "axes.steps=[2,6]", "run.order_seed=3")
    assert code == ExitCode.USAGE
    assert "6 steps" in err
    assert "4 steps" in err
    assert "order_seed: was 0, now 3" in err
    assert "name=" in err
    assert journal(tmp_path / "runs/trial") == before


@pytest.mark.usefixtures("unwritten")
def test_changes_that_the_plan_leaves_free_are_kept(ran: Call, tmp_path: Path) -> None:
    code, out, _ = ran("run", *SMALL, "metrics=[psnr]")
    assert code == ExitCode.DONE
    assert "psnr" in out
    code, out, _ = ran("show", "runs/trial")
    assert "psnr" in out


@pytest.mark.usefixtures("unwritten")
def test_the_brand_of_what_is_drawn_cannot_be_taken_off(ran: Call) -> None:
    code, out, _ = ran("run", *SMALL, "target.fake_local.untrained=false", "budget.usd=3")
    assert code == ExitCode.DONE
    assert "untrained weights" in out


@pytest.mark.usefixtures("unwritten")
def test_failed_samples_are_records_and_an_exit_code(call: Call, tmp_path: Path) -> None:
    faults = "target.fake_local.options.faults=[{prompt_contains: subway, kind: internal}]"
    code, out, _ = call("run", *SMALL, faults)
    assert code == ExitCode.FAILED_SAMPLES
    assert "2 of 4 samples delivered, 2 failed" in out
    assert "failed 2: internal in generate" in out
    assert "2 are tried again only by: kreabench resume runs/trial --retry-failed" in out
    code, out, _ = call("show", "runs/trial")
    assert code == ExitCode.DONE
    assert "failed 2" in out
    code, out, _ = call("resume", "runs/trial")
    assert code == ExitCode.FAILED_SAMPLES
    assert len(samples(tmp_path / "runs/trial")) == 4, "what would fail again is not tried again"
    code, _, _ = call("resume", "runs/trial", "--retry-failed")
    assert code == ExitCode.FAILED_SAMPLES
    assert len(samples(tmp_path / "runs/trial")) == 6


def test_scoring_is_a_stage_of_its_own(ran: Call) -> None:
    code, out, _ = ran("score", "runs/trial", "--metrics", "psnr,ssim")
    assert code == ExitCode.DONE
    assert re.search(r"psnr +2 +0", out)
    code, out, _ = ran("score", "runs/trial", "--metrics", "psnr,ssim")
    assert re.search(r"psnr +0 +4", out)
    code, _, err = ran("score", "runs/trial", "--metrics", "psnrr")
    assert code == ExitCode.USAGE
    assert "did you mean psnr?" in err


def test_metrics_named_later_are_in_the_report(ran: Call, tmp_path: Path) -> None:
    ran("score", "runs/trial", "--metrics", "psnr")
    code, out, _ = ran("show", "runs/trial")
    assert (code, "psnr" in out) == (ExitCode.DONE, True)
    ran("report", "runs/trial")
    assert "psnr" in (tmp_path / "reports/trial/report.md").read_text(encoding="utf-8")
    code, _, err = ran("score", "runs/trial", "--metrics", ",")
    assert (code, "--metrics" in err) == (ExitCode.USAGE, True)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_budget_that_would_hold_nobody_back_is_refused(ran: Call, value: str) -> None:
    code, _, err = ran("resume", "runs/trial", "--budget-usd", value)
    assert (code, "--budget-usd" in err) == (ExitCode.USAGE, True)


@pytest.mark.usefixtures("unwritten")
def test_what_was_tried_before_a_resume_is_no_timing(call: Call, tmp_path: Path) -> None:
    """Both prompts of a setting fail once; the second of them would be a valid timing if it had not been tried."""
    fault = "{kind: error, type: server_error, times: 4}"
    options = f"target.fake_local.options={{faults: [{fault}], state_dir: {tmp_path}}}"
    code, _, _ = call("run", *SMALL, options)
    assert code == ExitCode.FAILED_SAMPLES
    code, out, _ = call("resume", "runs/trial")
    assert code == ExitCode.DONE
    assert "are there already" not in out, "what failed for now is not done"
    assert "4 of 4 samples, 0 failed" in out
    found = samples(tmp_path / "runs/trial")
    assert [(sample["attempt"], sample["status"]) for sample in found] == [(1, "failed")] * 4 + [(2, "ok")] * 4
    assert not any(sample["timing_valid"] for sample in found)


def test_the_report_can_be_written_elsewhere(ran: Call, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep", encoding="utf-8")
    code, out, _ = ran("report", "runs/trial", "--out", "mine")
    assert code == ExitCode.DONE
    assert "mine/index.html" in out
    assert (tmp_path / "mine/notes.txt").read_text(encoding="utf-8") == "keep"


def test_two_runs_are_reported_together_from_where_they_lie(ran: Call, tmp_path: Path) -> None:
    shutil.copytree("runs/trial", "runs/again")
    code, out, _ = ran("report", "runs/trial", "runs/again", "--out", "both")
    assert (code, out) == (0, "report: both/index.html\n")
    text = Path("both/report.md").read_text(encoding="utf-8")
    assert "all 4 pairs of pictures are equal files" in text
    assert "kreabench gate runs/trial runs/again" in text
    assert str(tmp_path) not in text


@pytest.mark.usefixtures("unwritten")
def test_failures_that_pass_name_the_plain_resume(call: Call) -> None:
    faults = "target.fake_local.options.faults=[{prompt_contains: subway, kind: error, type: network}]"
    _, out, _ = call("run", *SMALL, faults)
    assert "2 of these are tried again, or fetched, by: kreabench resume runs/trial" in out
    assert "--retry-failed" not in out


def test_many_kinds_of_failure_are_not_left_out_unsaid() -> None:
    out = io.StringIO()
    samples = [make_sample(error=make_failure(message=f"reason {number}")) for number in range(12)]
    print_failures(Console(file=out, width=200), Path("runs/x"), samples)
    assert out.getvalue().count("reason") == 10
    assert "2 more kinds of failure in the report" in out.getvalue()
    assert "12 are tried again only by: kreabench resume runs/x --retry-failed" in out.getvalue()
    out = io.StringIO()
    print_failures(Console(file=out, width=200), Path("runs/x"), samples, dropped={samples[0].setting_id})
    assert "12 are of settings that racing dropped, and are not tried again" in out.getvalue()
    assert "kreabench resume" not in out.getvalue()


@pytest.mark.usefixtures("unwritten")
def test_a_bill_that_differs_from_the_list_is_said_at_the_end_of_a_run(call: Call) -> None:
    service = "{images: patterns, fault: {wrong_units: 1.0}}"
    code, out, _ = call(
        "run", "target=[mini_fal]", f"target.mini_fal.service.options={service}", *SMALL_HOSTED, "prompts.limit=2"
    )
    assert code == ExitCode.DONE
    assert "dollars: $0.100 by billed (2 calls)" in out
    assert "2 of 2 billed requests differ, by +$0.0500 together" in " ".join(out.split())


def test_looking_at_a_run_leaves_it_as_it_is(ran: Call, tmp_path: Path) -> None:
    """It may lie on a read-only disk, and another kreabench may be writing it."""
    run = tmp_path / "runs/trial"
    (run / "samples.parquet").unlink()
    before = {path: path.stat().st_mtime_ns for path in (run, *run.rglob("*"))}
    for arguments in (("show", "runs/trial"), ("report", "runs/trial", "--out", "elsewhere")):
        code, _, _ = ran(*arguments)
        assert code == ExitCode.DONE
    assert {path: path.stat().st_mtime_ns for path in (run, *run.rglob("*"))} == before


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("run", "axes.stepz=[4]"), "axes.stepz"),
        (("run", "axes.steps=[]"), "axes.steps"),
        (("run", "axes.size=[1000x1000]"), "992x992"),
        (("plan", "prompts.file=nowhere.txt"), "nowhere.txt"),
        (("plan", "--cfg", "job"), "--cfg"),
        (("run", "-m", "axes.steps=4,8"), "axes.steps=[8,16,28]"),
        (("run", "target=[krea_fal]"), "FAL_KEY"),
        (("run", "target=[krea_local]", "target.krea_local.model=./weights"), "weights"),
        (("run", "experiment=trial", "axes.exclude=[{target: fake_local}]"), "left out by axes.exclude"),
        (("run", "experiment=trial", "target.fake_local.default.size=40x40"), "multiples of 16"),
        (("resume", "runs/nothing"), "runs/nothing"),
        (("show", "."), "run.json"),
        (("list", "nothing"), "targets"),
        (("doctor", "nobody"), "nobody"),
        (("doctor", "--metrics", "clip_scare"), "clip_score"),
        (("doctor", "--metrics", ","), "no metric named"),
        (("doctor", "--fetch", "models"), "metrics=NAME,NAME"),
        (("doctor", "--fetch", "metrics=clip_scare"), "clip_score"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_bad_input_is_one_message_and_exit_2(
    call: Call, tmp_path: Path, arguments: tuple[str, ...], named: str
) -> None:
    code, _, err = call(*arguments)
    assert code == ExitCode.USAGE
    assert named in err
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


@pytest.mark.parametrize("what", ["targets", "accelerations", "backends", "features", "prompts", "gates"])
def test_lists_describe_every_entry(call: Call, what: str) -> None:
    code, out, _ = call("list", what)
    assert code == ExitCode.DONE
    assert out
    assert all(re.fullmatch(r"\S+ +\S.*", line) for line in out.splitlines())


def test_experiments_are_listed_with_what_they_draw_cost_and_take(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "own" / "experiment"
    folder.mkdir(parents=True)
    (folder / "broken.yaml").write_text("# @package _global_\ndescription: my own\naxes:\n  stepz: [1]\n")
    code, out, _ = call("list", "experiments", "--config-dir", str(tmp_path / "own"))
    assert code == ExitCode.DONE
    assert max(map(len, out.splitlines())) <= 80
    entries = {part.split()[0]: " ".join(part.split()) for part in re.split(r"\n(?=\S)", out)}
    assert "for Seconds, no model, no picture worth looking at" in entries["trial"]
    assert "draws 12 images: 2 settings × 3 prompts × 2 seeds" in entries["trial"]
    assert "costs this machine's processor" in entries["trial"]
    assert re.search(r"takes about \S+ s, model loads included", entries["trial"])
    assert "costs $1.20 at list price, with a budget of $5.00; a GPU of your own" in entries["local_or_hosted"]
    assert "takes unknown: no time is expected of krea_local, krea_fal" in entries["local_or_hosted"]
    assert "$18.00 at list price, emulated: nothing is paid" in entries["demo"]
    assert "an unknown price of krea_hf_replicate, krea_hf_together" in entries["compare_providers"]
    assert "my own draws unknown, as it does not compose here" in entries["broken"]
    assert "axes.stepz" in entries["broken"]


def test_metrics_are_listed_with_all_that_people_must_know(call: Call, tmp_path: Path) -> None:
    own = tmp_path / "own" / "metrics" / "my_score.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("# @package metrics.my_score\nkind: clip_score\noptions: {}\n")

    code, out, _ = call("list", "metrics", "--config-dir", str(tmp_path / "own"))

    assert code == ExitCode.DONE
    assert all(len(line) <= 100 for line in out.splitlines())
    entries = re.split(r"^(?=\S)", out, flags=re.MULTILINE)[1:]
    assert [entry.split()[0] for entry in entries] == list(METRICS)
    for entry, (kind, row) in zip(entries, METRICS.items(), strict=True):
        text = " ".join(entry.split())
        facts = (row.summary, row.unit, row.weights, row.licence, row.bias, row.cost)
        assert all(" ".join(fact.split()) in text for fact in facts), kind
        assert ("set of pictures" in text) == (row.per == "set")
        needs = re.search(r"^  needs +(.+)$", entry, re.MULTILINE)
        assert needs is not None
        assert ("a reference" in needs[1], "the prompt" in needs[1]) == (row.needs_reference, row.needs_prompt)
    assert "files clip_score, mini_clip_score, my_score" in " ".join(entries[0].split())
    assert "files look" in " ".join(entries[list(METRICS).index("colourfulness")].split())


def test_the_plan_says_what_it_takes_and_runs_nothing(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("plan", "target=[krea_local,krea_fal]", "acceleration=[none,high]", "axes.size=[square_hd]")
    assert code == ExitCode.DONE
    assert "$1.60 by the price list" in out  # 2 settings × 8 prompts × 2 seeds × 2 megapixels × $0.025
    assert "3 model loads" in out
    assert not (tmp_path / "runs").exists()


def test_the_plan_says_how_many_are_in_flight_and_how_far_the_budget_goes(call: Call) -> None:
    code, out, _ = call(
        "plan", "target=[krea_fal,flux2_pro_fal]", "run.concurrency=[1,8]", "axes.size=[square]", "budget.usd=0.5"
    )
    assert code == ExitCode.DONE
    assert "in flight" in out
    # By hand: 2 × 16 requests at $0.025 and at $0.055, of which the first 20 are $0.50.
    assert "at most $2.56 by the price list (budget $0.500)" in out
    assert "dollars by target: krea_fal $0.800, flux2_pro_fal $1.76" in out
    assert "stops at the budget after about 20 of 64 hosted requests" in out
    _, out, _ = call("plan", "target=[krea_fal]", "budget.usd=5")
    assert "stops at the budget" not in out
    _, out, _ = call("plan", "target=[krea_local]")
    assert "in flight" not in out
    _, out, _ = call("plan", "target=[krea_fal]", "target.krea_fal.model=fal-ai/other")
    assert "dollars unknown" in out


def test_the_plan_warns_where_connections_leave_nothing_to_time(call: Call) -> None:
    _, out, _ = call("plan", "target=[krea_fal]", "run.concurrency=[1,10,40]")
    said = " ".join(out.split())
    assert "krea_fal at 40 in flight: only about 0 of 16 requests can be timed" in said
    assert "at 10 in flight" not in said  # 6 of 16: just enough
    assert "at 1 in flight" not in said
    _, out, _ = call("plan", "target=[krea_fal]", "run.concurrency=11")
    assert "only about 5 of 16 requests can be timed" in " ".join(out.split())


def test_an_axis_that_an_endpoint_lacks_is_said_in_the_plan(call: Call) -> None:
    code, out, _ = call("plan", "target=[krea_fal,flux2_pro_fal]", "axes.steps=[8]")
    assert code == ExitCode.DONE
    assert "skipped 1: flux2_pro_fal has no steps" in out
    _, out, _ = call("plan", "target=[krea_fal_redux,krea_fal_image_to_image]", "prompts=drawn")
    assert "krea_fal_redux takes no prompt: the words beside the pictures are not sent" in out
    assert "krea_fal_image_to_image takes no prompt" not in out


def test_what_cannot_be_done_is_said_in_the_plan(call: Call) -> None:
    code, out, _ = call("plan", "target=[krea_local,krea_fal]", "axes.steps=[28,60]")
    assert code == ExitCode.DONE
    assert "skipped 1: krea_fal takes steps from 1 to 50" in out


def test_seeds_closer_than_the_images_of_a_request_are_warned_of(call: Call) -> None:
    _, out, _ = call("plan", "experiment=trial", "axes.num_images=[1,4]", "run.seeds=[0,1]")
    assert "run.seeds=[0,4]" in out
    _, out, _ = call("plan", "experiment=trial", "axes.num_images=[4]", "run.seeds=[0,4]")
    assert "twice" not in out


def test_an_unwritable_place(call: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    code, _, err = call("run", *SMALL, "run.dir=file")
    assert code == ExitCode.USAGE
    assert "file" in err


@pytest.mark.usefixtures("unwritten")
def test_a_torn_journal_is_repaired(ran: Call, tmp_path: Path) -> None:
    path = tmp_path / "runs/trial/journal.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rstrip(b"\n").rfind(b"\n") + 40])
    code, out, _ = ran("resume", "runs/trial")
    assert code == ExitCode.DONE
    assert "3 of 4 samples are there already" in out
    assert "4 of 4 samples delivered" in out


@pytest.mark.usefixtures("unwritten")
def test_a_damaged_journal_names_its_line(ran: Call, tmp_path: Path) -> None:
    path = tmp_path / "runs/trial/journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"garbage\n", *lines[1:]]))
    code, _, err = ran("resume", "runs/trial")
    assert code == ExitCode.USAGE
    assert "line 2" in err


def start_slow_run(folder: Path, latency_s: float = 0.5) -> subprocess.Popen[str]:
    """A run that takes seconds, as a process of its own; returns when its first sample is journalled."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kreabench", "run", *SMALL, f"target.fake_local.options.latency_s={latency_s}"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # whoever started the tests may ignore it
    )
    path = folder / "runs/trial/journal.jsonl"
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if path.exists() and samples(folder / "runs/trial"):
            return process
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"no sample was journalled: {process.communicate()}")


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [int(child) for child in children] + [d for child in children for d in descendants(int(child))]


@pytest.mark.usefixtures("unwritten")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_is_done_and_resume_finishes(
    call: Call, tmp_path: Path, number: signal.Signals
) -> None:
    process = start_slow_run(tmp_path)
    workers = descendants(process.pid)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "kreabench resume runs/trial" in out
    assert "Traceback" not in err
    assert workers
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    kept = samples(tmp_path / "runs/trial")
    assert 1 <= len(kept) < 4
    code, _, _ = call("resume", "runs/trial")
    assert code == ExitCode.DONE
    after = samples(tmp_path / "runs/trial")
    assert after[: len(kept)] == kept
    assert len({sample["request_id"] for sample in after}) == len(after) == 4


def test_a_second_driver_is_refused(call: Call, tmp_path: Path) -> None:
    process = start_slow_run(tmp_path)
    try:
        code, _, err = call("resume", "runs/trial")
        assert code == ExitCode.USAGE
        assert str(process.pid) in err
        code, _, _ = call("show", "runs/trial")
        assert code == ExitCode.DONE, "reading needs no lock"
    finally:
        process.kill()
        process.communicate()


def test_a_full_disk_loses_nothing(call: Call, tmp_path: Path) -> None:
    """A file size limit stands in for a full disk: the same error path, and no mount is needed."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (6000, resource.RLIM_INFINITY));"
        "from kreabench.cli.main import main; main(sys.argv[1:])"
    )
    # Modules that are compiled under the limit would stay behind, cut off, for every later process.
    environment = {**os.environ, "MPLCONFIGDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    limited = subprocess.run(
        [sys.executable, "-c", code, "run", *SMALL, "prompts.limit=8", "run.seeds=[0,1]"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert limited.returncode == ExitCode.USAGE, limited.stderr
    assert "ulimit" in limited.stderr
    assert "Traceback" not in limited.stderr


def test_hydras_flags_still_answer(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kreabench", "run", "--cfg", "job", "experiment=demo"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "name: demo" in done.stdout
    assert not list(tmp_path.iterdir()), "Hydra leaves nothing behind"
