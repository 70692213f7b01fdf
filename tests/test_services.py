"""Services beside a target start, say where they are, and are gone afterwards, whatever happens to their parent."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from click.testing import CliRunner

from kreabench.cli.fal_emulator import fal_emulator
from kreabench.core.errors import EnvironmentProblem, StorageError
from kreabench.core.specs import ServiceSpec
from kreabench.execution.services import start_service

PATTERNS = ServiceSpec(kind="fal-emulator", options={"images": "patterns"})
COMMAND = [sys.executable, "-P", "-m", "kreabench", "fal-emulator", "--images=patterns"]


def _children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "fal-emulator" in child.cmdline()]


def _until(condition: Callable[[], bool]) -> bool:
    """Wait for something that has to happen; the limit only ends a test that fails."""
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_a_service_lives_as_long_as_its_block(tmp_path: Path) -> None:
    with start_service(PATTERNS, tmp_path / "logs" / "service.log") as environment:
        assert set(environment) >= {"FAL_RUN_HOST", "FAL_QUEUE_RUN_HOST", "SSL_CERT_FILE", "FAL_KEY"}
        (child,) = _children()
        ca_file = Path(environment["SSL_CERT_FILE"])
        assert ca_file.parent.stat().st_mode & 0o777 == 0o700
        assert [path.name for path in ca_file.parent.iterdir()] == ["ca.pem"], "no private key stays on disk"
        assert "PRIVATE" not in ca_file.read_text()
    assert not child.is_running()
    assert not ca_file.parent.exists()
    assert "A loopback fal is ready" in (tmp_path / "logs" / "service.log").read_text()


def test_an_error_inside_the_block_stops_the_service_too(tmp_path: Path) -> None:
    children: list[psutil.Process] = []

    def fail() -> None:
        with start_service(PATTERNS, tmp_path / "service.log"):
            children.extend(_children())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [child.is_running() for child in children] == [False]


def test_a_service_that_died_is_no_error_at_the_end(tmp_path: Path) -> None:
    with start_service(PATTERNS, tmp_path / "service.log") as environment:
        (child,) = _children()
        child.kill()
    assert not child.is_running()
    shutil.rmtree(Path(environment["SSL_CERT_FILE"]).parent)  # what nobody could clear up after a kill -9


def test_two_services_live_side_by_side(tmp_path: Path) -> None:
    with (
        start_service(PATTERNS, tmp_path / "a.log") as first,
        start_service(PATTERNS, tmp_path / "b.log") as second,
    ):
        assert first["FAL_QUEUE_RUN_HOST"] != second["FAL_QUEUE_RUN_HOST"]
        trusts_the_first = ssl.create_default_context(cafile=first["SSL_CERT_FILE"])
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            httpx.get(f"https://{second['FAL_QUEUE_RUN_HOST']}/", verify=trusts_the_first)


def test_the_key_of_the_person_is_not_given_to_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", "a-real-key")
    monkeypatch.setenv("FAL_KEY_SECRET", "a-real-secret")
    with start_service(PATTERNS, tmp_path / "service.log") as environment:
        assert environment["FAL_KEY"] != "a-real-key"
        (child,) = _children()
        assert not {"FAL_KEY", "FAL_KEY_SECRET"} & set(child.environ())


def test_the_loopback_goes_through_no_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "example.org")
    with start_service(PATTERNS, tmp_path / "service.log") as environment:
        assert environment["NO_PROXY"] == environment["no_proxy"] == "example.org,localhost,127.0.0.1"


def test_a_service_that_does_not_start_says_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = ServiceSpec(kind="fal-emulator", options={"images": "patterns", "port": port})
        with pytest.raises(EnvironmentProblem) as raised, start_service(service, tmp_path / "service.log"):
            pass
    text = str(raised.value)
    assert "an exit with status 2" in text
    assert f"--port: found {port} (Address already in use)" in text
    assert _children() == []


def test_options_reach_the_service_as_arguments(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("model: somebody/mixer\ninputs: {prompt: {type: string, required: true}}\n")
    options = {
        "images": "patterns",
        "endpoint": (str(own), str(own)),
        "fault": {"scheduling_failure": 1.0},
        "http": False,
    }
    with start_service(ServiceSpec(kind="fal-emulator", options=options), tmp_path / "service.log") as environment:
        trust = ssl.create_default_context(cafile=environment["SSL_CERT_FILE"])
        answer = httpx.post(
            f"https://{environment['FAL_RUN_HOST']}/somebody/mixer",
            json={"prompt": "x"},
            headers={"Authorization": "Key x"},
            verify=trust,
        )
    assert (answer.status_code, answer.json()["error_type"]) == (503, "runner_scheduling_failure")


def test_a_service_without_tls_cannot_serve_a_run(tmp_path: Path) -> None:
    service = ServiceSpec(kind="fal-emulator", options={"images": "patterns", "http": True})
    with pytest.raises(EnvironmentProblem, match="expected TLS"), start_service(service, tmp_path / "service.log"):
        pass
    assert _children() == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fault": {"rest": 0.1}}, "did you mean reset?"),
        ({"inference_s": "fast"}, "expected seconds such as 2"),
        ({"runners": 0}, "--runners"),
        ({"images": "folder"}, "--folder: found nothing"),
    ],
)
def test_a_wrong_option_of_a_run_is_named(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    service = ServiceSpec(kind="fal-emulator", options={"images": "patterns", **options})
    with pytest.raises(EnvironmentProblem) as raised, start_service(service, tmp_path / "service.log"):
        pass
    assert words in " ".join(str(raised.value).split())


def test_an_unknown_option_is_named(tmp_path: Path) -> None:
    service = ServiceSpec(kind="fal-emulator", options={"imagse": "patterns"})
    with pytest.raises(EnvironmentProblem, match="--imagse"), start_service(service, tmp_path / "service.log"):
        pass


def test_a_pipeline_that_does_not_load_is_named(tmp_path: Path) -> None:
    options = {"images": "pipeline", "model": str(tmp_path / "no-model")}
    service = ServiceSpec(kind="fal-emulator", options=options)
    with pytest.raises(EnvironmentProblem, match="no-model"), start_service(service, tmp_path / "service.log"):
        pass
    assert _children() == []


def test_a_service_that_is_not_ready_in_time_is_stopped(tmp_path: Path) -> None:
    with (
        pytest.raises(EnvironmentProblem, match=r"found nothing after 0.01 s"),
        start_service(PATTERNS, tmp_path / "service.log", ready_timeout_s=0.01),
    ):
        pass
    assert _children() == []


def test_a_log_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file, not a folder")
    with pytest.raises(StorageError), start_service(PATTERNS, tmp_path / "logs" / "service.log"):
        pass


def test_a_service_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\n"
        "from kreabench.core.specs import ServiceSpec\n"
        "from kreabench.execution.services import start_service\n"
        "service = ServiceSpec(kind='fal-emulator', options={'images': 'patterns'})\n"
        "with start_service(service, Path(sys.argv[1])) as environment:\n"
        "    print(environment['SSL_CERT_FILE'], flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "service.log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        ca_file = Path(parent.stdout.readline().strip())
        (service,) = psutil.Process(parent.pid).children()
        parent.kill()
    assert _until(lambda: not service.is_running())
    assert _until(lambda: not ca_file.parent.exists())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_the_command_cleanly(number: signal.Signals) -> None:
    # Without a buffer: a second line that it took along with the first one, `communicate` would not see.
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert set(ready) == {"run_host", "queue_host", "rest_url", "cdn_url", "scheme", "ca_file", "pid"}
        assert ready["pid"] == process.pid
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out == b"", "one line only"
    assert b"Traceback" not in err
    assert not Path(ready["ca_file"]).exists()


def test_a_parent_that_is_already_gone_is_noticed() -> None:
    done = subprocess.run([*COMMAND, "--die-with-parent=1"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"--die-with-parent: found parent {os.getpid()}; expected parent 1" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "127.0.0.1 only"),
        (["--host", "192.168.1.2"], "127.0.0.1 only"),
        (["--images", "photos"], "'pipeline', 'patterns', 'folder'"),
        (["--accelerations", "{"], "expected a JSON object"),
        (["--pipeline", "[1]"], "expected a JSON object"),
        (["--queue-s", "-1"], "queue-s"),
        (["--inference-s", "uniform:2,1"], "expected seconds such as 2, uniform:LOW,HIGH or lognormal:MEDIAN,SIGMA"),
        (["--fault", "rest=0.1"], "did you mean reset?"),
        (["--fault", "reset"], "NAME=PROBABILITY"),
        (["--fault", "reset=0.6", "--fault", "black=0.6"], "sum to 1.2"),
        (["--port", "70000"], "port"),
    ],
)
def test_wrong_arguments_are_usage_errors(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(fal_emulator, arguments)
    assert result.exit_code == 2
    assert words in result.output


def test_patterns_need_no_torch() -> None:
    script = (
        "import sys\n"
        "from kreabench.backends.options import FalEmulatorOptions\n"
        "from kreabench.emulator import serve\n"
        "from kreabench.emulator.order import Order\n"
        "from kreabench.emulator.painters import make_painter\n"
        "painter = make_painter(FalEmulatorOptions(images='patterns'))\n"
        "painter.open()\n"
        "painter.paint(Order(prompt='x', seed=1, steps=4, guidance=4.5, width=32, height=32, num_images=1,"
        " output_format='png', acceleration='none'))\n"
        "print([name for name in ('torch', 'diffusers', 'fal_client') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
