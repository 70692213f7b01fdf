"""`kreabench gate`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kreabench.decisions.gate import GateResult

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
"""Names the file that a step of GitHub Actions shows on the page of its job."""


@click.command()
@click.argument("base", metavar="BASE")
@click.argument("candidate", metavar="CANDIDATE")
@click.option(
    "--policy", default="default", show_default=True, metavar="NAME", help="A file of conf/gate/, or FILE.yaml."
)
@click.option("--force", is_flag=True, help="Judge what is not comparable all the same; every output says so.")
@click.option("--json", "json_file", metavar="FILE", help="Write everything as JSON here; - is standard output.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML here.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Append Markdown to this file.")
@click.option(
    "--config-dir", type=click.Path(path_type=Path), help="A folder of your own groups, beside the shipped ones."
)
def gate(
    base: str,
    candidate: str,
    policy: str,
    force: bool,
    json_file: str | None,
    junit: Path | None,
    markdown: Path | None,
    config_dir: Path | None,
) -> int:
    """Did CANDIDATE get worse than BASE? Judged check by check, by the margins of a policy.

    Each is a run directory, the URL of a pushed run, a baseline file, or some settings of one: RUN:reference,
    RUN:acceleration=high,steps=8. Pictures are compared in pairs of one prompt and seed. Three outcomes: passed (any
    loss is shown to lie inside the margin), regressed (a loss is established, and not shown to lie inside it),
    inconclusive otherwise, with the number of prompts that would decide. No significant difference is never a pass.

    In JUnit XML a regression is a failure, an inconclusive check an error. Markdown is also appended to the file that
    GITHUB_STEP_SUMMARY names, where it does.

    Exit codes: 0 passed, 1 regressed, 3 inconclusive, 2 refused or, of a gate that passed, an output that could not be
    written.
    """
    from kreabench.cli.gate_table import print_gate
    from kreabench.cli.terminal import console
    from kreabench.gating import run_gate

    result = run_gate(base, candidate, policy=policy, config_dir=config_dir, force=force)
    written = _write(result, None if json_file in (None, "-") else Path(json_file), junit, markdown)
    if json_file == "-":
        from kreabench.report.gate.json_file import render_json

        click.echo(render_json(result), nl=False)
    else:
        print_gate(console(), result)
    # A verdict that is not good stands above an output that is not there.
    return int(result.exit_code) or (0 if written else 2)


def _write(result: GateResult, json_file: Path | None, junit: Path | None, markdown: Path | None) -> bool:
    """Whether every output that was asked for is there; each that is not is said."""
    done = [
        file is None or _attempt(file, mode, render(result))
        for file, mode, render in ((json_file, "wb", _json), (junit, "wb", _junit), (markdown, "ab", _markdown))
    ]
    summary = os.environ.get(SUMMARY_VARIABLE)
    if summary and (markdown is None or Path(summary) != markdown):
        # Nobody asked for it: it is said, and changes nothing.
        _attempt(Path(summary), "ab", _markdown(result))
    return all(done)


def _json(result: GateResult) -> bytes:
    from kreabench.report.gate.json_file import render_json

    return render_json(result).encode()


def _junit(result: GateResult) -> bytes:
    from kreabench.report.gate.junit import render_junit

    return render_junit(result)


def _markdown(result: GateResult) -> bytes:
    from kreabench.report.gate.markdown import render_markdown

    return render_markdown(result).encode()


def _attempt(file: Path, mode: str, content: bytes) -> bool:
    try:
        with file.open(mode) as out:
            out.write(content)
    except OSError as error:
        click.echo(f"kreabench: cannot write {file}: {error.strerror}; the verdict stands", err=True)
        return False
    return True
