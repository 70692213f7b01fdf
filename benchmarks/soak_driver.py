"""The driver of a soak: the shipped command line as a process, killed from outside and watched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psutil

PROMPTS = 100
MARK = "KREABENCH_SOAK_MARK"
_LOG_TAIL_CHARS = 600


@dataclass(frozen=True)
class Command:
    """What is run, where."""

    arguments: tuple[str, ...]
    folder: Path


def write_prompts(folder: Path, samples: int) -> Path:
    """A prompt file such that prompts × seeds are `samples`."""
    if samples % PROMPTS:
        raise SystemExit(f"--samples: found {samples}; expected a multiple of {PROMPTS}")
    path = folder / "prompts.jsonl"
    lines = [json.dumps({"id": f"p{number}", "prompt": f"{number} red bicycles"}) for number in range(PROMPTS)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def start_run(folder: Path, prompts: Path, samples: int) -> Command:
    """The command that begins the run, or goes on with it."""
    seeds = ",".join(map(str, range(samples // PROMPTS)))
    overrides = (
        "experiment=trial",
        "name=soak",
        f"prompts.file={prompts}",
        "prompts.limit=null",
        f"run.seeds=[{seeds}]",
        "run.warmup=1",
        "metrics=[]",
        "axes.steps=[2]",
        "axes.size=[32x32]",
        "target.fake_local.options.latency_s=0.0",
    )
    return Command(arguments=("run", *overrides), folder=folder)


def planned(run_path: Path) -> int:
    """How many samples are in the journal; counted from outside, so a torn line is none."""
    counter = _COUNTERS.setdefault(run_path, _Counter(run_path / "journal.jsonl"))
    return counter.count()


class _Counter:
    """Reads what was appended since it looked last."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset, self._found, self._rest = path, 0, 0, b""

    def count(self) -> int:
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
            whole = content[: content.rfind(b"\n") + 1]
            self._offset += len(whole)
            self._found += whole.count(b'{"kind":"sample"')
        return self._found


_COUNTERS: dict[Path, _Counter] = {}


class Driver:
    """One process of the command line, which carries a mark that its children inherit."""

    def __init__(self, command: Command) -> None:
        self.mark = uuid.uuid4().hex
        self.samples_at_kill = 0
        self.exit_code: int | None = None
        self._log = (command.folder / "driver.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kreabench", *command.arguments],
            cwd=command.folder,
            env={**os.environ, MARK: self.mark},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._seen = psutil.Process(self._process.pid)

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._process.poll() is None:
            self.kill()
        self._log.close()

    def is_running(self) -> bool:
        self.exit_code = self._process.poll()
        return self.exit_code is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def kill_worker(self) -> bool:
        """Whether there was one."""
        with suppress(psutil.Error, ProcessLookupError):
            for child in self._seen.children(recursive=True):
                if "kreabench.execution.worker" in child.cmdline():
                    os.kill(child.pid, signal.SIGKILL)
                    return True
        return False

    def usage(self) -> tuple[float, int] | None:
        """Resident memory in MiB and open files; None where it has just ended."""
        with suppress(psutil.Error):
            return self._seen.memory_info().rss / 2**20, self._seen.num_fds()
        return None

    def last_words(self) -> str:
        text = Path(self._log.name).read_text(encoding="utf-8", errors="replace")
        return " ".join(text[-_LOG_TAIL_CHARS:].split())


@dataclass
class Watch:
    """What was seen of one driver while it drew."""

    _seen: list[tuple[int, float, int]] = field(default_factory=list)
    """Samples in the journal, MiB, open files."""

    def look(self, driver: Driver, samples: int) -> None:
        usage = driver.usage()
        if usage is not None:
            self._seen.append((samples, *usage))

    def steady(self) -> tuple[list[float], list[int]]:
        """MiB and open files from the first tenth of what it drew on, up to the last sample: the report loads more."""
        if not self._seen:
            return [], []
        first, last = self._seen[0][0], self._seen[-1][0]
        drawn = [(mib, files) for samples, mib, files in self._seen if first + (last - first) / 10 < samples < last]
        return [mib for mib, _ in drawn], [files for _, files in drawn]
