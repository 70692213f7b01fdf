"""The drift check sees what differs between two services, costs one request, and never shows the key."""

from __future__ import annotations

import io
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from kreabench.cli import live_fal
from kreabench.cli.doctor import doctor
from kreabench.core.specs import ServiceSpec
from kreabench.emulator.drift import differences, shape
from kreabench.execution import services
from tests.command_support import run_command
from tests.fal_emulator_support import Served, served

KEY = "id-of-mine:secret-of-mine"


Doctor = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Doctor:
    """`kreabench doctor --live-fal` in this process, which starts those that ask: exit code, both outputs."""

    def run(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
        for name, value in {**environment, "FAL_KEY": KEY}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        return run_command(capfd, "doctor", "--live-fal", *arguments)

    return run


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the emulator answers; always the same."""
    spec = ServiceSpec(kind="fal-emulator", options=live_fal._EMULATOR)
    with services.start_service(spec, tmp_path_factory.mktemp("emulated") / "service.log") as environment:
        return live_fal._record({**os.environ, **environment}, "the emulator")


def test_an_emulator_standing_for_the_live_service_is_no_different(tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    with served(log, http=False, queue_s=0.1, inference_s=0.1) as live:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "kreabench", "doctor", "--live-fal", "--yes"],
            env={**os.environ, **live.environment, "FAL_KEY": KEY},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert "costs about $0.025" in done.stdout
    assert "the emulator answers as the live service does" in done.stdout
    (entry,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert (entry["width"], entry["height"], entry["steps"], entry["usd"]) == (512, 512, 1, 0.025)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fault": {"no_units": 1.0}}, "result.headers.x-fal-billable-units: live nothing, emulated present"),
        ({"fault": {"no_stream": 1.0}}, "status events.status: live HTTP 404, emulated HTTP 200"),
        ({"fault": {"expired_link": 1.0}}, "picture.status: live HTTP 404, emulated HTTP 200"),
    ],
)
def test_a_service_that_is_different_is_seen(
    ask: Doctor, emulated: dict[str, Any], monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], words: str
) -> None:
    record = live_fal._record
    monkeypatch.setattr(
        live_fal, "_record", lambda environ, whom: emulated if whom == "the emulator" else record(environ, whom)
    )
    monkeypatch.setattr(services, "start_service", lambda *_: nullcontext({}))
    with served(http=False, **options) as live:
        code, out, err = ask(live.environment, "--yes")
    assert code == 1, err
    assert words in out
    assert "secret-of-mine" not in out + err


@pytest.mark.parametrize("fault", ["reset", "server_error", "rate_limit"])
def test_a_request_that_fails_says_where_and_is_sent_once(ask: Doctor, fault: str) -> None:
    with served(http=False, fault={fault: 1.0}) as live:
        code, out, err = ask(live.environment, "--yes")
        account = _account(live)
    assert code == 2
    assert "the live service: the request failed at" in err
    assert "may have been billed" in err
    assert "secret-of-mine" not in out + err
    assert account["jobs"] + sum(account["refused_submits"].values()) == 1


def _account(live: Served) -> dict[str, Any]:
    trusting = ssl.create_default_context(cafile=live.environment["SSL_CERT_FILE"])
    found: dict[str, Any] = httpx.get(f"{live.url}/emulator/account", verify=trusting).json()
    return found


def test_without_consent_nothing_is_sent(ask: Doctor) -> None:
    with served(http=False) as live:
        code, _, err = ask(live.environment)
        account = _account(live)
    assert (code, err) == (2, "nothing was sent\n")
    assert account["jobs"] == 0


def test_without_a_key_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAL_KEY", raising=False)
    result = CliRunner().invoke(doctor, ["--live-fal", "--yes"], standalone_mode=False)
    assert result.return_value == 2
    assert "FAL_KEY is not set" in result.output


def test_shapes() -> None:
    value = {"a": 1, "b": [{"c": "x"}, {"c": None, "d": 2.5}], "e": True, "f": [], "g": [[1], [2]]}
    assert shape(value) == {
        "a": "number",
        "b": [{"c": "null or string", "d": "number"}],
        "e": "boolean",
        "f": [],
        "g": [["number"]],
    }


def test_differences() -> None:
    one = {"a": "number", "b": ["string"], "statuses": ["IN_QUEUE", "COMPLETED"], "c": {"d": "string"}}
    assert differences(one, one) == []
    other = {"a": "string", "b": [{"x": "null"}], "statuses": ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"], "e": "null"}
    assert differences(one, other) == [
        "a: live number, emulated string",
        "b.[]: live string, emulated an object",
        "c: live an object, emulated nothing",
        "e: live nothing, emulated null",
    ]
    assert any(line.startswith("statuses: live IN_QUEUE → IN_PROGRESS") for line in differences(other, one))
    assert differences({"statuses": ["LOST"]}, {"statuses": ["IN_QUEUE"]}) == ["statuses: live LOST, emulated IN_QUEUE"]
    seen, all_ = {"bodies": {"COMPLETED": "null"}}, {"bodies": {"IN_QUEUE": "null", "COMPLETED": "null"}}
    assert differences(seen, all_) == []
    assert differences(all_, seen) == ["bodies.IN_QUEUE: live null, emulated nothing"]
    assert differences({"x": []}, {"x": ["number"]}) == []
    assert differences("number", "string") == ["the whole: live number, emulated string"]
