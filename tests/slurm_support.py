"""A Slurm of this machine, as far as submitit and we use one, and small runs that jobs can draw."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kreabench import pipeline
from kreabench.config.resolve import load
from kreabench.rundir.directory import RunDirectory

SMALL = ("experiment=trial", "prompts.limit=2", "run.seeds=[0]", "run.warmup=0", "metrics=[]")
"""Four requests of drawn patterns, two of each prompt."""
JOBS = ("engine=slurm", "engine.gpus_per_job=0")

SBATCH = """#!/bin/bash
# Runs what it is given, one element of the array after the other, without anybody waiting for it.
if [ -e "$FAKE_SLURM/refuses" ]; then
    echo "sbatch: error: invalid partition specified: nowhere" >&2
    exit 1
fi
script="${@: -1}"
id=$((4711 + $(ls "$FAKE_SLURM" | grep -c submitted)))
cp "$script" "$FAKE_SLURM/submitted-$id.sh"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\)%.*/\\1/p' "$script")
export SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_JOB_NODELIST=localhost
if [ -z "$last" ]; then
    names="$id"
else
    export SLURM_ARRAY_JOB_ID=$id
    names=$(seq -f "${id}_%g" 0 "$last")
fi
for name in $names; do touch "$FAKE_SLURM/queue/$name"; done
(
    for name in $names; do
        while [ -e "$FAKE_SLURM/waits" ]; do sleep 0.05; done
        [ -z "$last" ] || export SLURM_ARRAY_TASK_ID=${name#*_}
        SLURM_JOB_ID=$id bash "$script"
        rm "$FAKE_SLURM/queue/$name"
    done
) >"$FAKE_SLURM/out-$id" 2>&1 &
echo "Submitted batch job $id"
"""

SRUN = """#!/bin/bash
while [[ "$1" == --* ]]; do
    case "$1" in
        --output) out="$2"; shift 2 ;;
        --error) err="$2"; shift 2 ;;
        *) shift ;;
    esac
done
named() { local name="$1"; name="${name//%A/$SLURM_ARRAY_JOB_ID}"; name="${name//%a/$SLURM_ARRAY_TASK_ID}"
    name="${name//%j/$SLURM_JOB_ID}"; echo "${name//%t/0}"; }
[ -z "$FAL_KEY" ] || touch "$FAKE_SLURM/had-the-key"
exec "$@" >>"$(named "$out")" 2>>"$(named "$err")"
"""

SQUEUE = """#!/bin/bash
if [ -e "$FAKE_SLURM/mute" ]; then echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1; fi
for word in "$@"; do case "$word" in --jobs=*) id="${word#--jobs=}" ;; esac; done
found=$(ls "$FAKE_SLURM/queue" | grep -E "^${id}(_|$)")
if [ -z "$found" ]; then echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1; fi
echo "$found"
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a fake Slurm whose commands are in PATH; files there steer it: refuses, waits, mute."""
    folder = tmp_path / "fake slurm"
    (folder / "bin").mkdir(parents=True)
    (folder / "queue").mkdir()
    for name, script in (("sbatch", SBATCH), ("srun", SRUN), ("squeue", SQUEUE)):
        (folder / "bin" / name).write_text(script, encoding="utf-8")
        (folder / "bin" / name).chmod(0o755)
    monkeypatch.setenv("FAKE_SLURM", str(folder))
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return folder


def start(folder: Path, *overrides: str) -> RunDirectory:
    """A new run of SMALL with these overrides, of which nothing is drawn yet."""
    composed = load([*SMALL, *overrides, f"run.dir={folder / 'runs'}"])
    return pipeline.start(composed.run_path, composed.experiment, composed.config_yaml, os.environ)


@contextmanager
def touched(path: Path) -> Iterator[None]:
    """A file that is there until the block ends."""
    path.touch()
    try:
        yield
    finally:
        path.unlink()
