"""Weights & Biases: a group for the run, in it a run of theirs for each setting and one for the whole.

Their ids follow from ours, so that a second export updates them. Numbers go into the summary and not into a history,
which would grow with every export. Nothing of this machine goes along: no host, user, code, console, GPU or packages.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from kreabench.core.errors import ConfigError, EnvironmentProblem, Problem
from kreabench.core.redaction import redact
from kreabench.tracking.entries import Entry, Export, Sent
from kreabench.tracking.environment import need_package, said, variables
from kreabench.tracking.picture_files import FOLDER

PROJECT = "WANDB_PROJECT"
DEFAULT_PROJECT = "kreabench"
KEY = "WANDB_API_KEY"

_WAIT_S = 60
_LAST_S = 5.0
"""For what is under way when somebody interrupts."""

_WORD_LENGTH = 64
"""Longest tag that the service takes."""

_NO_PROJECT = frozenset("/\\#?%:")
_PROJECT_LENGTH = 128
"""What the service takes as the name of a project."""

_CALLS = {"WANDB_ERROR_REPORTING": "false", "WANDB_DISABLE_WEAVE": "true"}
"""The library would tell its makers of its own errors, and advertise another product beside some libraries."""

_HIDDEN = (
    *("WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_LAUNCH", "WANDB_CONFIG", "WANDB_CONFIG_PATHS"),
    *("WANDB_RUN_ID", "WANDB_RESUME", "WANDB_RESUME_FROM", "WANDB_FORK_FROM"),
)
"""In a sweep and a launched job the library takes other ids and another project than it is told."""


def export_to_wandb(export: Export, project: str) -> Sent:
    """Tell the service, or with WANDB_MODE=offline write what `wandb sync` sends later, of a run.

    Raises EnvironmentProblem where the package is not installed, there is no key, or the service cannot be reached or
    refuses; ConfigError where WANDB_MODE says that nothing shall be written at all.
    """
    need_package("wandb", "wandb")
    mode = _mode(os.environ)
    with ExitStack() as stack:
        stack.enter_context(variables(_CALLS, _HIDDEN))
        folder = os.environ.get("WANDB_DIR") or "."
        if mode == "online":
            _need_key()
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kreabench-"))
        else:
            _need_folder(folder)
        try:
            return _tell_all(export, project, mode, folder)
        except KeyboardInterrupt:
            _soon_stop_their_process()
            raise


def project_of(project: str | None, environ: Mapping[str, str]) -> str:
    """The name of the project. Raises ConfigError for one that the service does not take."""
    key, name = ("--project", project) if project else (PROJECT, environ.get(PROJECT) or DEFAULT_PROJECT)
    wrong = sorted({char for char in name if char in _NO_PROJECT or not char.isprintable()})
    if not wrong and len(name) <= _PROJECT_LENGTH:
        return name
    found = f"{''.join(wrong)!r} in it" if wrong else f"{len(name)} characters"
    expected = f"a name of at most {_PROJECT_LENGTH} characters, none of {' '.join(sorted(_NO_PROJECT))}"
    raise ConfigError([Problem(key=key, found=found, expected=expected, remedy="An entity goes into WANDB_ENTITY.")])


def _need_folder(folder: str) -> None:
    """The library would write to the system's temporary folder instead."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        found = f"{redact(folder)}: {error.strerror}"
        raise EnvironmentProblem(
            [Problem(key="WANDB_DIR", found=found, expected="a folder that can be written")]
        ) from error


def _soon_stop_their_process() -> None:
    """The library waits for its process when ours ends, and that one for the service: no longer than this."""

    def stop() -> None:
        for child in theirs:
            with suppress(psutil.Error):
                child.kill()

    theirs = [child for child in psutil.Process().children() if child.name().startswith("wandb")]
    timer = threading.Timer(_LAST_S, stop)
    timer.daemon = True  # it counts while ours ends
    timer.start()


def _mode(environ: Mapping[str, str]) -> str:
    mode = environ.get("WANDB_MODE", "online")
    if mode in ("offline", "dryrun"):
        return "offline"
    if mode in ("online", "run"):
        return "online"
    raise ConfigError([Problem(key="WANDB_MODE", found=repr(mode), expected="online or offline")])


def _need_key() -> None:
    """The library would ask for one on a terminal; it finds keys where this looks: environment and ~/.netrc."""
    from requests.utils import get_netrc_auth

    base = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    if any(os.environ.get(name) for name in (KEY, "WANDB_IDENTITY_TOKEN_FILE")) or get_netrc_auth(base):
        return
    problem = Problem(
        key=KEY,
        found="not set, and no key in ~/.netrc",
        expected=f"a key for {urlsplit(base).hostname}",
        remedy="Set it, run `wandb login`, or export with WANDB_MODE=offline and send that later.",
    )
    raise EnvironmentProblem([problem])


def _tell_all(export: Export, project: str, mode: str, folder: str) -> Sent:
    entries = [(export.run, "run"), *((entry, "setting") for entry in export.settings)]
    updated, where = 0, ""
    for entry, kind in entries:
        id_ = export.run.id if kind == "run" else f"{export.run.id}-{entry.id}"
        try:
            resumed, where = _tell_one(entry, kind, id_, export.run.id, project, mode, folder)
        except Exception as error:  # their errors, and what pydantic says of settings of theirs in the environment
            problem = Problem(
                key=redact(os.environ.get("WANDB_BASE_URL", "wandb")),
                found=said(error),
                expected="a service that lets us in",
                remedy=f"Check {KEY}, WANDB_ENTITY and the network, or export with WANDB_MODE=offline.",
            )
            raise EnvironmentProblem([problem]) from error
        updated += resumed
    return Sent(made=len(entries) - updated, updated=updated, replaced=0, where=where)


def _tell_one(entry: Entry, kind: str, id_: str, group: str, project: str, mode: str, folder: str) -> tuple[bool, str]:
    """Whether it was there before, and where it is now."""
    import wandb

    run = wandb.init(
        project=project,
        id=id_,
        name=entry.name,
        group=group,
        job_type=kind,
        tags=[word[:_WORD_LENGTH] for word in entry.words],
        notes=entry.tags.get("kreabench.notice"),
        resume="allow" if mode == "online" else None,
        reinit="finish_previous",
        settings=_settings(mode, folder),
    )
    run.config.update({**entry.parameters, **entry.tags, "kreabench.state": entry.state}, allow_val_change=True)
    for name, value in entry.metrics.items():
        run.summary[name] = value
    with tempfile.TemporaryDirectory(prefix="kreabench-") as scratch:
        _send_files(run, entry, id_, Path(scratch))
        where = redact(run.url) if mode == "online" and run.url else str(run.settings.wandb_dir)
        resumed = bool(run.resumed)
        run.finish(exit_code=1 if entry.state == "failed" else 0)
    return resumed, where


def _send_files(run: Any, entry: Entry, id_: str, scratch: Path) -> None:
    """As artifacts, of which the service makes a new version only where their content differs."""
    import wandb

    artifacts: dict[str, Any] = {}
    for number, (name, content) in enumerate(entry.files()):
        kind = FOLDER if name.startswith(f"{FOLDER}/") else "tables"
        artifact = artifacts.setdefault(kind, wandb.Artifact(f"{kind}-{id_}", type=kind))
        path = scratch / str(number)
        path.write_bytes(content)
        artifact.add_file(str(path), name=name.rpartition("/")[2], policy="mutable")
    for artifact in artifacts.values():
        run.log_artifact(artifact)


def _settings(mode: str, folder: str) -> Any:
    import wandb

    return wandb.Settings(
        mode=mode,
        root_dir=folder,
        init_timeout=_WAIT_S,
        login_timeout=_WAIT_S,
        silent=True,
        console="off",
        disable_code=True,
        disable_git=True,
        save_code=False,
        disable_job_creation=True,
        host="",
        username="",
        email="",
        program="",
        x_executable="",
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
    )
