"""What metrics need of this machine before they are opened: what is missing, and getting what can be got."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from kreabench.backends.machine import look
from kreabench.core.device_names import gpu_of
from kreabench.core.errors import EnvironmentProblem, Problem, one_line
from kreabench.core.specs import MetricSpec
from kreabench.metrics.devices import absent_device
from kreabench.metrics.needs import FETCH, Need, Say
from kreabench.metrics.table import metric_class
from kreabench.metrics.weights import offline_variable


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """One thing that a metric needs and this machine lacks."""

    metric: str
    """Configured name."""
    problem: Problem
    """Under its full key, `metrics.NAME.options.weights`."""
    need: Need | None = None
    """None where the metric cannot even be made with its options."""

    @property
    def fetchable(self) -> bool:
        return self.need is not None and self.need.fetchable


def missing(metrics: Sequence[MetricSpec], environ: Mapping[str, str]) -> tuple[Missing, ...]:
    """Everything that these metrics lack. Loads, sends and changes nothing."""
    return tuple(entry for spec in metrics for entry in _missing(spec, environ))


def fetch(
    metrics: Sequence[MetricSpec], environ: Mapping[str, str], say: Say
) -> tuple[tuple[Missing, ...], tuple[Problem, ...]]:
    """Get what is missing and can be got, saying each. Gives what is still missing and what stood in the way.

    A fetch that fails costs no other one.
    """
    refused: list[Problem] = []
    tried: list[Need] = []
    for entry in missing(metrics, environ):
        if entry.need is None or not entry.need.fetchable or entry.need in tried:
            continue  # nothing to get, or what two metrics share
        tried.append(entry.need)
        say(f"fetching {entry.need.name} for metrics.{entry.metric}")
        try:
            entry.need.fetch(environ, say)
        except EnvironmentProblem as error:
            refused += [under(entry.metric, problem) for problem in error.problems]
    return missing(metrics, environ), tuple(refused)


def prepare(metrics: Sequence[MetricSpec], environ: Mapping[str, str], say: Say) -> None:
    """Get what these metrics lack, where that can be got. Raises EnvironmentProblem with all that is missing then."""
    lacking = missing(metrics, environ)
    refused: tuple[Problem, ...] = ()
    offline = offline_variable(environ)
    if any(entry.fetchable for entry in lacking) and offline is None:
        lacking, refused = fetch(metrics, environ, say)
    if not lacking:
        return
    command = f"`{fetch_command(entry.metric for entry in lacking if entry.fetchable)}`"
    if offline is not None:
        command += f", with {offline} unset,"
    told = {problem.key: problem for problem in refused}
    raise EnvironmentProblem([_with_way_out(entry, told.get(entry.problem.key), command) for entry in lacking])


def _with_way_out(entry: Missing, refused: Problem | None, command: str) -> Problem:
    """What is missing, why it could not be fetched where that was tried, and what to do."""
    problem = refused or entry.problem
    said = problem.remedy.rstrip(".")
    leave_out = f"leave {entry.metric} out of metrics"
    if not entry.fetchable:
        remedy = f"{said}, or {leave_out}" if said else leave_out.capitalize()
    else:
        why = f"{said}. " if refused and said else ""
        remedy = f"{why}{command} fetches it, or {leave_out}"
    return replace(problem, remedy=remedy)


def fetch_command(names: Iterable[str]) -> str:
    """The one command that gets what these metrics lack."""
    return f"{FETCH}={','.join(dict.fromkeys(names))}"


def under(metric: str, problem: Problem) -> Problem:
    """`problem` of a metric under its full key: `options.weights` is `metrics.NAME.options.weights`; an environment
    variable is only itself. A remedy that fetches names the metric: without names the default metrics are fetched."""
    key = f"metrics.{metric}.{problem.key}" if problem.key.startswith("options") else problem.key
    remedy = problem.remedy.replace(f"`{FETCH}`", f"`{fetch_command([metric])}`")
    return replace(problem, key=key, remedy=remedy)


def _missing(spec: MetricSpec, environ: Mapping[str, str]) -> Iterator[Missing]:
    try:
        needs: tuple[Need, ...] = metric_class(spec.kind)(**spec.options).needs
    except EnvironmentProblem as error:
        yield from (Missing(metric=spec.name, problem=under(spec.name, problem)) for problem in error.problems)
        return
    except Exception as error:  # its module, its options: whatever it is, this metric cannot be made
        found = Problem(key=f"metrics.{spec.name}", found=one_line(error), expected="a metric that can be made")
        yield Missing(metric=spec.name, problem=found)
        return
    if (device := _absent_device(spec)) is not None:
        yield Missing(metric=spec.name, problem=under(spec.name, device))
    for need in needs:
        problem = need.problem(environ)
        if problem is not None:
            yield Missing(metric=spec.name, problem=under(spec.name, problem), need=need)


def _absent_device(spec: MetricSpec) -> Problem | None:
    """A GPU that this machine is known not to have."""
    device = str(spec.options.get("device", ""))
    problem = None if gpu_of(device) is None else absent_device(device, len(look().gpus))
    remedy = "Choose it there, or for all metrics with scoring.device (`--device` of kreabench score)"
    return None if problem is None else replace(problem, remedy=remedy)
