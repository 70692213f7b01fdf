"""The emulator's README names every fault and every option, and its examples are valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

import kreabench.emulator
from kreabench.cli.fal_emulator import fal_emulator
from kreabench.emulator.endpoints import read_endpoints
from kreabench.emulator.faults import FAULTS
from kreabench.emulator.serve import instructions
from kreabench.emulator.service import Place

README = (Path(kreabench.emulator.__file__).parent / "README.md").read_text(encoding="utf-8")


def test_every_fault_is_in_the_table_in_the_same_words() -> None:
    assert dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", README, re.MULTILINE)).items() >= FAULTS.items()


def test_faults_and_options_are_listed_by_the_command() -> None:
    listed = CliRunner().invoke(fal_emulator, ["--list-faults"])
    assert listed.exit_code == 0
    assert [line.split()[0] for line in listed.output.splitlines()] == list(FAULTS)
    options = {option for parameter in fal_emulator.params for option in parameter.opts}
    assert set(re.findall(r"--[a-z][a-z-]+", README)) - {"--help", "--cacert", "--live-fal"} <= options


def test_the_example_of_an_endpoint_is_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    file = tmp_path / "mixer.yaml"
    file.write_text(example)
    assert yaml.safe_load(example)["model"] in read_endpoints([file])


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_printed_instructions_are_those_of_the_readme(scheme: str) -> None:
    place = Place(scheme=scheme, port=41217)
    printed = instructions(place, Path("/tmp/.../ca.pem") if scheme == "https" else None)
    for line in printed.replace("'", '"').splitlines():
        if line.startswith("  fal_client") or line.startswith("  export"):
            assert line.strip() in README
