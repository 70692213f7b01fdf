"""Several runs in one report: model versions, devices, services."""

from __future__ import annotations

from collections.abc import Sequence

from kreabench.report.build import document_of
from kreabench.report.document import Document
from kreabench.report.evidence import Evidence


def several_document(evidences: Sequence[Evidence]) -> Document:
    """What is said of the runs; the first is what the others are compared with."""
    return document_of(evidences[0])
