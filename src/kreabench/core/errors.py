"""The one family of errors.

KreabenchError
├── ConfigError            a config value or override is wrong; carries every problem found, each naming its key
├── EnvironmentProblem     something this machine lacks: weights, a key, a device, a package, a writable folder
├── RunDirectoryError      a run directory is locked, damaged, of another plan or of a newer schema
├── StorageError           the disk refused a write (full, read-only, quota)
├── BudgetReached          the next request or score could pass budget.usd
└── GenerationError        one request failed; becomes a `Failure` in the journal, never leaves the worker

Only the command line turns these into exit codes (`ExitCode`). Messages say what was expected, what was found and,
in `remedy`, what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum


def one_line(error: Exception, most: int | None = None) -> str:
    """An error that nobody foresaw, for a reason or a problem: its kind, and at most so many characters of its text."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:most]}"


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """`error`, what it was raised from, and so on; libraries wrap the telling one several times."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


class ExitCode(IntEnum):
    """What the process returns; scripts and CI rely on these numbers."""

    DONE = 0
    REGRESSION = 1
    USAGE = 2
    INCONCLUSIVE = 3
    FAILED_SAMPLES = 4
    BUDGET = 5
    INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing wrong, said so that it can be put right without reading the code."""

    key: str
    """Config key, file, environment variable or option at fault."""
    found: str
    """What was there, as text; never a secret."""
    expected: str
    """What is accepted."""
    remedy: str = ""
    """What to do, where `expected` does not already say it."""

    def __str__(self) -> str:
        text = f"{self.key}: found {self.found}; expected {self.expected}"
        return f"{text}. {self.remedy}" if self.remedy else text


class KreabenchError(Exception):
    """Base of all errors that kreabench raises on purpose."""

    exit_code = ExitCode.USAGE

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message


class ConfigError(KreabenchError):
    """The configuration is wrong; `problems` holds everything found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = "configuration error" if count == 1 else f"{count} configuration errors"
        super().__init__("\n".join([head, *(f"  {problem}" for problem in self.problems)]))


class EnvironmentProblem(KreabenchError):
    """This machine lacks what the run needs; `problems` holds everything found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(["this machine cannot do the run", *(f"  {problem}" for problem in self.problems)]))


class RunDirectoryError(KreabenchError):
    """A run directory cannot be used as asked."""


class StorageError(KreabenchError):
    """A write failed; what was journalled before it is intact."""


class BudgetReached(KreabenchError):
    """The next request or score could spend more than `budget.usd`."""

    exit_code = ExitCode.BUDGET


class GenerationError(KreabenchError):
    """One request failed inside a back end. Raised by back ends, caught by the worker, recorded as a `Failure`."""

    def __init__(
        self,
        message: str,
        *,
        type: str,
        stage: str,
        remedy: str = "",
        transient: bool = False,
        fatal: bool = False,
        fetch_again: bool = False,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.type = type
        """One of `records.FAILURE_TYPES`."""
        self.stage = stage
        """Where it happened: load, warmup, a stage of the back end, or store."""
        self.transient = transient
        """Whether the same request may succeed later without any change; `resume` tries these again."""
        self.fatal = fatal
        """Whether the worker must be replaced before the next request (out of memory, device lost)."""
        self.fetch_again = fetch_again
        """As in `records.Failure`."""
        self.retry_after_s: float | None = None
        """Of `rate_limited`: what the service asked us to wait, where it said so."""
        self.peak_allocated_bytes: int | None = None
        """What was reached on the device before memory ran out, where a back end can say."""
