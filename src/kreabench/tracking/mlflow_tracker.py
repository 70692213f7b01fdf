"""MLflow: a run for the run, and one nested in it for each setting.

Found again by tags, so that a second export updates them. A parameter cannot be changed and a metric not be removed
there: where that would be needed, the old run is deleted, which MLflow keeps to restore, and made anew.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from kreabench.core.errors import ConfigError, EnvironmentProblem, Problem
from kreabench.core.redaction import redact
from kreabench.tracking.entries import Entry, Export, Sent
from kreabench.tracking.environment import need_package, said, variables
from kreabench.tracking.picture_files import FOLDER
from kreabench.tracking.telling import PREFIX, RUN_TAG, SETTING_TAG

URI = "MLFLOW_TRACKING_URI"
EXPERIMENT = "MLFLOW_EXPERIMENT_NAME"
DEFAULT_EXPERIMENT = "kreabench"

_KEYS = "Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
_STATES = {"finished": "FINISHED", "failed": "FAILED", "running": "RUNNING"}
_BATCH = 100
"""Parameters and tags in one call; of metrics it may be ten times as many."""

_FIRST_CALL = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}
"""Whether there is a server is known within half a minute, even where it asks for more patience."""

_CALLS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""The library's own would try for minutes, tell its makers of every call, and print a line for each run."""


def address(uri: str | None, environ: Mapping[str, str]) -> str:
    """Where the tracking server is. Raises ConfigError for none, and for one with a key in it on the command line."""
    if uri is not None and "@" in _split(uri, "--tracking-uri").netloc:
        problem = Problem(
            key="--tracking-uri", found="a URL with a name or key in it", expected="one without", remedy=_KEYS
        )
        raise ConfigError([problem])
    found = uri or environ.get(URI, "")
    if not found:
        raise ConfigError(
            [
                Problem(
                    key=f"--tracking-uri or {URI}",
                    found="nothing",
                    expected="the address of an MLflow server, such as http://127.0.0.1:5000",
                    remedy="`mlflow server` starts one on this machine.",
                )
            ]
        )
    _split(found, URI)
    return found


def _split(uri: str, key: str) -> SplitResult:
    """Raises ConfigError for what is no URL."""
    try:
        return urlsplit(uri)
    except ValueError as error:  # which may quote a key
        found = "what cannot be read as a URL"
        raise ConfigError([Problem(key=key, found=found, expected="such as http://127.0.0.1:5000")]) from error


def shown(uri: str) -> str:
    """`uri` for people: without a name, a key and options, which may be keys."""
    return redact(re.sub(r"(?<=://)[^/]*@", "", uri.partition("?")[0]))


def export_to_mlflow(export: Export, uri: str, experiment: str) -> Sent:
    """Tell the server at `uri` of a run.

    Raises EnvironmentProblem where the package is not installed, the server cannot be reached or refuses.
    """
    need_package("mlflow", "mlflow")
    with variables(_CALLS), _errors(uri):
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        with variables_for_first_call():
            experiment_id = _experiment_id(client, experiment)
        return _Telling(client, experiment_id, export).tell(shown(uri))


@contextmanager
def variables_for_first_call() -> Iterator[None]:
    """Less patience than for the calls after it, whatever `_CALLS` has set; what its user has set stays."""
    kept = {name: os.environ[name] for name in _FIRST_CALL if os.environ.get(name) == _CALLS.get(name)}
    os.environ.update({name: _FIRST_CALL[name] for name in kept})
    try:
        yield
    finally:
        os.environ.update(kept)


@contextmanager
def _errors(uri: str) -> Iterator[None]:
    """What the library raises, as EnvironmentProblem."""
    try:
        yield
    except (EnvironmentProblem, KeyboardInterrupt):
        raise
    except Exception as error:  # MlflowException, and what requests and SQLAlchemy raise below it
        text = said(error)
        code = getattr(error, "error_code", "")
        expected, remedy = "an MLflow tracking server that answers", f"Check {URI} and whether the server runs."
        if code in ("UNAUTHENTICATED", "PERMISSION_DENIED") or " 401" in text or " 403" in text:
            expected, remedy = "an MLflow tracking server that lets us in", _KEYS
        elif isinstance(error, ImportError | ModuleNotFoundError):
            expected = "a server, http:// or https://, that takes files itself"
            remedy = "For a database install the whole `mlflow`; for a server that keeps files in a bucket, its client."
        elif code == "INVALID_PARAMETER_VALUE":
            expected, remedy = "what the server takes", "Choose another --experiment; else please report it."
        problem = Problem(key=shown(uri), found=text, expected=expected, remedy=remedy)
        raise EnvironmentProblem([problem]) from error


def _experiment_id(client: Any, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name))
    if found.lifecycle_stage != "active":
        problem = Problem(
            key="--experiment",
            found=f"{name!r}, which is deleted there",
            expected="one that is not",
            remedy=f"Restore it (`mlflow experiments restore -x {found.experiment_id}`), or choose another name.",
        )
        raise EnvironmentProblem([problem])
    return str(found.experiment_id)


class _Telling:
    """Of one run to one experiment."""

    def __init__(self, client: Any, experiment_id: str, export: Export) -> None:
        self._client, self._experiment_id, self._export = client, experiment_id, export
        self._made = self._updated = self._replaced = self._removed = 0

    def tell(self, where: str) -> Sent:
        there = self._runs()
        parent = self._tell_one(self._export.run, there.get(""), {})
        for entry in self._export.settings:
            self._tell_one(entry, there.get(entry.id), {"mlflow.parentRunId": parent})
        for id_ in set(there) - {"", *(entry.id for entry in self._export.settings)}:
            self._client.delete_run(there[id_].info.run_id)
            self._removed += 1
        return Sent(made=self._made, updated=self._updated, replaced=self._replaced, removed=self._removed, where=where)

    def _runs(self) -> dict[str, Any]:
        """Id of the setting, or nothing for the run itself → what is there of it."""
        found: dict[str, Any] = {}
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id],
                filter_string=f"tags.`{RUN_TAG}` = '{self._export.run.id}'",
                max_results=1000,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            for run in page:
                key = run.data.tags.get(SETTING_TAG, "")
                if key in found:
                    raise _twice(found[key].info.run_id, run.info.run_id)
                found[key] = run
            token = page.token
            if not token:
                return found

    def _tell_one(self, entry: Entry, there: Any, more: Mapping[str, str]) -> str:
        """Make or update one; returns its id at the server."""
        tags = {**entry.tags, **more}
        if there is not None and not _can_become(there, entry):
            self._client.delete_run(there.info.run_id)
            self._replaced += 1
            there = None
        elif there is not None:
            self._updated += 1
        else:
            self._made += 1
        if there is None:
            there = self._client.create_run(
                self._experiment_id,
                start_time=_ms(entry.started_utc),
                tags=dict(islice({**_note(entry), **tags}.items(), _BATCH)),
                run_name=entry.name,
            )
        run_id = str(there.info.run_id)
        self._log(run_id, there, entry, tags)
        self._send_files(run_id, entry)
        self._end(run_id, entry)
        return run_id

    def _log(self, run_id: str, there: Any, entry: Entry, tags: Mapping[str, str]) -> None:
        """What differs from what is there."""
        from mlflow.entities import Metric, Param, RunTag

        now_ms = time.time_ns() // 1_000_000
        metrics = [Metric(name, value, now_ms, 0) for name, value in entry.metrics.items()
                   if there.data.metrics.get(name) != value]  # fmt: skip
        parameters = [
            Param(name, str(value)) for name, value in entry.parameters.items() if name not in there.data.params
        ]
        changed = [RunTag(name, text) for name, text in tags.items() if there.data.tags.get(name) != text]
        for part in _parts(metrics):
            self._client.log_batch(run_id, metrics=part)
        for part in _parts(parameters):
            self._client.log_batch(run_id, params=part)
        for part in _parts(changed):
            self._client.log_batch(run_id, tags=part)
        for name in there.data.tags:
            if name.startswith(PREFIX) and name not in tags:
                self._client.delete_tag(run_id, name)

    def _send_files(self, run_id: str, entry: Entry) -> None:
        """Tables anew, as their size says nothing; of pictures those that are not there, as a name has their hash."""
        known = None
        for name, content in entry.files():
            folder, _, file = name.rpartition("/")
            if folder == FOLDER:
                if known is None:
                    known = {item.path for item in self._client.list_artifacts(run_id, FOLDER)}
                if name in known:
                    continue
            with tempfile.TemporaryDirectory(prefix="kreabench-") as scratch:
                path = Path(scratch, file)
                path.write_bytes(content)
                self._client.log_artifact(run_id, str(path), folder or None)

    def _end(self, run_id: str, entry: Entry) -> None:
        if entry.state == "running":
            self._client.update_run(run_id, status="RUNNING", name=entry.name)
        else:
            self._client.set_terminated(run_id, _STATES[entry.state], _ms(entry.ended_utc))


def _note(entry: Entry) -> dict[str, str]:
    """What the server's page shows above a run. Written once, as people edit it there."""
    said_of_it = (entry.tags.get(f"{PREFIX}notice"), entry.tags.get(f"{PREFIX}description"))
    text = "\n\n".join(filter(None, said_of_it))
    return {"mlflow.note.content": text} if text else {}


def _can_become(there: Any, entry: Entry) -> bool:
    """Whether what the server has can be brought up to date: nothing to change or take away that it keeps."""
    told = {name: str(value) for name, value in entry.parameters.items()}
    same = all(told.get(name, value) == value for name, value in there.data.params.items())
    return same and set(there.data.metrics) <= set(entry.metrics)


def _twice(first: str, second: str) -> EnvironmentProblem:
    problem = Problem(
        key=RUN_TAG,
        found=f"two runs with the same one: {first} and {second}",
        expected="at most one",
        remedy="Two exports ran at once. Delete one of the two there, then export again.",
    )
    return EnvironmentProblem([problem])


def _ms(utc: str) -> int:
    return int(datetime.fromisoformat(utc).timestamp() * 1000)


def _parts(items: Sequence[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), _BATCH):
        yield list(items[start : start + _BATCH])
