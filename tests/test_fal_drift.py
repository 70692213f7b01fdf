"""The drift check sees what differs between two services, costs one request, and never shows the key."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from kreabench.cli.doctor import doctor
from kreabench.emulator.drift import differences, shape
from tests.fal_emulator_support import Served, served

KEY = "id-of-mine:secret-of-mine"


def _doctor(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "kreabench", "doctor", "--live-fal", *arguments]
    environ = {**os.environ, **environment, "FAL_KEY": KEY}
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
    )


def test_an_emulator_standing_for_the_live_service_is_no_different(tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    with served(log, http=False, queue_s=0.1, inference_s=0.1) as live:
        done = _doctor(live.environment, "--yes")
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
def test_a_service_that_is_different_is_seen(options: dict[str, Any], words: str) -> None:
    with served(http=False, **options) as live:
        done = _doctor(live.environment, "--yes")
    assert done.returncode == 1, done.stderr
    assert words in done.stdout
    assert "secret-of-mine" not in done.stdout + done.stderr


@pytest.mark.parametrize("fault", ["reset", "server_error", "rate_limit"])
def test_a_request_that_fails_says_where_and_is_sent_once(fault: str) -> None:
    with served(http=False, fault={fault: 1.0}) as live:
        done = _doctor(live.environment, "--yes")
        account = _account(live)
    assert done.returncode == 2
    assert "the live service: the request failed at" in done.stderr
    assert "may have been billed" in done.stderr
    assert "secret-of-mine" not in done.stdout + done.stderr
    assert account["jobs"] + sum(account["refused_submits"].values()) == 1


def _account(live: Served) -> dict[str, Any]:
    trusting = ssl.create_default_context(cafile=live.environment["SSL_CERT_FILE"])
    found: dict[str, Any] = httpx.get(f"{live.url}/emulator/account", verify=trusting).json()
    return found


def test_without_consent_nothing_is_sent() -> None:
    with served(http=False) as live:
        done = _doctor(live.environment)
        account = _account(live)
    assert (done.returncode, done.stderr) == (2, "nothing was sent\n")
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
