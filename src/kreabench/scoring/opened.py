"""A configured metric, ready or not."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from kreabench.core.errors import EnvironmentProblem, Problem, one_line
from kreabench.core.ids import stable_hash
from kreabench.core.specs import MetricSpec
from kreabench.metrics.base import Metric, SetMetric
from kreabench.metrics.shared import Shared
from kreabench.metrics.table import MetricRow, metric_class, row_of
from kreabench.pairing import Picture
from kreabench.scoring.requirements import under


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A metric of a scoring. `metric` or `set_metric` is there, after `spec.per`, unless it could not be opened."""

    spec: MetricSpec
    identity: str
    metric: Metric | None = None
    set_metric: SetMetric | None = None
    untrained: bool = False
    problems: tuple[Problem, ...] = ()

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def row(self) -> MetricRow | None:
        return row_of(self.spec)

    @property
    def needs_reference(self) -> bool:
        return self.row is not None and self.row.needs_reference

    @property
    def is_paid(self) -> bool:
        return self.row is not None and self.row.paid

    @property
    def unopened_reason(self) -> str:
        """Why it scores nothing; empty where it can, or was not opened because there is nothing to look at."""
        return f"the metric could not be opened: {'; '.join(map(str, self.problems))}" if self.problems else ""

    def obstacle(self, picture: Picture) -> str:
        """Why the metric does not apply to `picture`; empty where it does. Sets look at their reference themselves."""
        return picture.obstacle(
            needs_reference=self.needs_reference and self.spec.per == "image",
            needs_prompt=self.row is not None and self.row.needs_prompt,
        )

    def asked(self, picture: Picture) -> str:
        """What beside picture and prompt its score holds for; see `ScoreRecord.asked`."""
        if self.row is None or not self.row.reads_questions:
            return ""
        return stable_hash({"questions": picture.questions, "look_for": picture.look_for})

    def reference_sha256(self, picture: Picture) -> str | None:
        """Of what `picture` is compared with; None where the metric needs nothing, or nothing is there."""
        return picture.reference.sha256 if self.needs_reference and picture.reference is not None else None


def open_metric(spec: MetricSpec, last_identity: Mapping[str, str], shared: Shared, stack: ExitStack) -> Opened:
    """The metric of `spec`, to be closed by `stack`; any failure to open it becomes its problems."""
    try:
        made = metric_class(spec.kind)(**spec.options)
        stack.callback(made.close)
        identity = made.open(shared)
    except EnvironmentProblem as error:
        problems = tuple(under(spec.name, problem) for problem in error.problems)
    except Exception as error:  # a metric's fault must not cost the other metrics their scores
        found = one_line(error)
        problems = (Problem(key=f"metrics.{spec.name}", found=found, expected="a metric that can be opened"),)
    else:
        return Opened(
            spec=spec,
            metric=made if spec.per == "image" else None,
            set_metric=made if spec.per == "set" else None,
            identity=stable_hash({"kind": spec.kind, "identity": identity}),
            untrained=bool(identity.get("untrained", False)),
        )
    return unopened(spec, last_identity, problems)


def unopened(spec: MetricSpec, last_identity: Mapping[str, str], problems: tuple[Problem, ...] = ()) -> Opened:
    """A metric that scores nothing: it could not be opened, or has nothing to look at."""
    # What it was last run with, because failures under another identity would void the scores that are held.
    asked = stable_hash({"kind": spec.kind, "options": spec.options})
    return Opened(spec=spec, identity=last_identity.get(spec.name, asked), problems=problems)
