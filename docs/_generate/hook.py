"""Puts what the code knows into the pages: a line `<!-- generate: NAME -->` becomes what `GENERATORS[NAME]` says."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import generate_code
import generate_commands
import generate_configuration
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PICTURES = {"pictures/report.png": ROOT / "reports" / "demo" / "page.png"}
"""Address in the site → file of the repository outside docs/."""

MARK = re.compile(r"^<!-- generate: ([\w-]+) -->$", re.MULTILINE)

GENERATORS: dict[str, Callable[[], str]] = {
    "commands": generate_commands.commands,
    "groups": generate_configuration.groups,
    "config": generate_configuration.config,
    "targets": generate_configuration.targets,
    "experiments": generate_configuration.experiments,
    "accelerations": generate_configuration.accelerations,
    "features": generate_configuration.features,
    "metrics": generate_configuration.metrics,
    "policies": generate_configuration.policies,
    "prompts": generate_configuration.prompts,
    "pricing": generate_configuration.pricing,
    "method": generate_code.method,
    "votes-method": generate_code.votes_method,
    "records": generate_code.records,
    "specs": generate_code.specs,
    "report-json": generate_code.report_json,
    "columns": generate_code.columns,
    "errors": generate_code.errors,
}


def on_page_markdown(markdown: str, **more: Any) -> str:
    """mkdocs calls this with each page's text."""
    return MARK.sub(lambda match: GENERATORS[match[1]](), markdown)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """mkdocs calls this with what lies in docs/."""
    for address, path in PICTURES.items():
        files.append(File.generated(config, address, abs_src_path=str(path)))
    return files
