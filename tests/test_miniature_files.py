"""The shipped weights: found, whole, refused when they are not, and usable where nobody may write."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kreabench.backends.fal import FalBackend
from kreabench.backends.local_diffusers import DiffusersBackend
from kreabench.backends.mini import builtin_revision, resolve_model
from kreabench.backends.mini_cache import is_intact
from kreabench.backends.model_files import weights_sha256
from kreabench.cli.main import main
from kreabench.config.resolve import load
from kreabench.core.errors import EnvironmentProblem, ExitCode, GenerationError
from kreabench.miniature import files
from tests.support import ROOT, make_acceleration

MODEL = "flux/transformer/diffusion_pytorch_model.safetensors"
MOST_BYTES = 12 * 10**6


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped weights, in their place."""
    root = tmp_path / "weights"
    shutil.copytree(files.WEIGHTS, root)
    monkeypatch.setattr(files, "WEIGHTS", root)
    return root


def cut(root: Path) -> None:
    (root / MODEL).write_bytes((root / MODEL).read_bytes()[:-1])


def change(root: Path) -> None:
    content = bytearray((root / MODEL).read_bytes())
    content[-1] ^= 1
    (root / MODEL).write_bytes(content)


def remove(root: Path) -> None:
    (root / MODEL).unlink()


def add(root: Path) -> None:
    (root / "flux" / "transformer" / "other.safetensors").write_bytes(b"")


def unlist(root: Path) -> None:
    (root / files.MANIFEST).unlink()


def garble(root: Path) -> None:
    (root / files.MANIFEST).write_text("[1, 2")


def empty(root: Path) -> None:
    (root / files.MANIFEST).write_text('{"files": {}}')


def listed() -> dict[str, str]:
    found: dict[str, str] = json.loads((files.WEIGHTS / files.MANIFEST).read_bytes())["files"]
    return found


def test_what_ships_is_whole_and_small() -> None:
    for part in sorted({name.partition("/")[0] for name in listed()}):
        assert files.shipped_problem(part) is None
    assert sum(path.stat().st_size for path in files.WEIGHTS.rglob("*") if path.is_file()) <= MOST_BYTES


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            cut,
            f"kreabench/miniature/weights/{MODEL} of SHA-256 [0-9a-f]{{64}}; expected the file as shipped, of SHA-256",
        ),
        (change, f"kreabench/miniature/weights/{MODEL} of SHA-256 [0-9a-f]{{64}}; expected the file as shipped"),
        (remove, f"no kreabench/miniature/weights/{MODEL}; expected the file as shipped, of SHA-256 [0-9a-f]{{64}}"),
        (add, "kreabench/miniature/weights/flux/transformer/other.safetensors, which was not shipped"),
        (unlist, "no kreabench/miniature/weights/manifest.json"),
        (garble, "kreabench/miniature/weights/manifest.json, which cannot be read"),
        (empty, "kreabench/miniature/weights/manifest.json without a file of flux"),
    ],
)
def test_damage_is_refused_before_loading(copied: Path, damage: Callable[[Path], None], words: str) -> None:
    damage(copied)
    target = load(["target=[mini_local]"]).experiment.targets[0]
    (problem,) = DiffusersBackend.check(target, [make_acceleration()])
    assert problem.key == "target.mini_local.model"
    assert re.search(words, str(problem))
    assert "Reinstall kreabench" in problem.remedy
    for asked in ("builtin:mini", "builtin:mini-noisy"):
        with pytest.raises(EnvironmentProblem, match=f"{asked} with {words}"):
            resolve_model(asked)
    with pytest.raises(EnvironmentProblem):
        builtin_revision("builtin:mini")


def test_damage_is_seen_before_a_loopback_service_is_started(copied: Path) -> None:
    change(copied)
    target = load(["target=[mini_fal]"]).experiment.targets[0]
    (problem,) = (one for one in FalBackend.check(target, []) if "SHA-256" in one.found)
    assert problem.key == "target.mini_fal.service.options.model"
    assert f"kreabench/miniature/weights/{MODEL}" in problem.found


def test_found_and_expected_hashes_are_those_of_the_files(copied: Path) -> None:
    change(copied)
    found = hashlib.sha256((copied / MODEL).read_bytes()).hexdigest()
    problem = files.shipped_problem("flux")
    assert problem is not None
    assert found in problem.found
    assert listed()[MODEL] in problem.expected
    assert found != listed()[MODEL]


def test_damage_to_another_part_is_none_of_a_models_business(copied: Path) -> None:
    shutil.rmtree(copied / "redux")
    assert resolve_model("builtin:mini") == str(copied / "flux")
    with pytest.raises(EnvironmentProblem, match="builtin:mini-redux with no kreabench/miniature/weights/redux/"):
        resolve_model("builtin:mini-redux")


def test_a_back_end_that_is_opened_all_the_same_records_it(copied: Path) -> None:
    """As in a worker, on whose machine the files may be others than where the run was planned."""
    remove(copied)
    target = load(["target=[mini_local]"]).experiment.targets[0]
    backend = DiffusersBackend()
    with pytest.raises(GenerationError, match=f"no kreabench/miniature/weights/{MODEL}") as caught:
        backend.open(target, [make_acceleration()], ())
    backend.close()
    assert (caught.value.stage, caught.value.type) == ("load", "load_failed")


def test_a_run_on_damaged_weights_ends_as_environment_problems_do(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cut(copied)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["run", "target=[mini_local]", "metrics=[]", "prompts.limit=1"])
    assert caught.value.code == ExitCode.USAGE
    assert f"kreabench/miniature/weights/{MODEL} of SHA-256" in " ".join(capsys.readouterr().err.split())


def test_files_are_hashed_once_a_process(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert files.shipped_problem("flux") is None
    monkeypatch.setattr(files, "_damage", None)
    assert files.shipped_problem("flux") is None
    assert files.shipped_folder("flux") == copied / "flux"


def test_the_revision_follows_the_files(copied: Path) -> None:
    before = files.shipped_revision("flux"), files.shipped_revision("redux")
    assert before[0] != before[1]
    content = json.loads((copied / files.MANIFEST).read_bytes())
    change(copied)
    content["files"][MODEL] = hashlib.sha256((copied / MODEL).read_bytes()).hexdigest()
    (copied / files.MANIFEST).write_text(json.dumps(content))
    files._problem.cache_clear()
    assert files.shipped_revision("flux") != before[0]
    assert files.shipped_revision("redux") == before[1]


def test_an_install_that_nobody_may_write_to_will_do(copied: Path, tmp_path: Path) -> None:
    paths = [copied, *copied.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert resolve_model("builtin:mini") == str(copied / "flux")
        noisy = Path(resolve_model("builtin:mini-noisy", environ={"KREABENCH_CACHE": str(tmp_path / "cache")}))
        assert all(path.stat().st_mode & 0o200 for path in (noisy, *noisy.rglob("*")))
    finally:
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_the_noisy_one_is_another_version_the_same_everywhere(tmp_path: Path) -> None:
    first, second = (
        Path(resolve_model("builtin:mini-noisy", environ={"KREABENCH_CACHE": str(tmp_path / name)})) for name in "ab"
    )
    assert is_intact(first)
    shipped = Path(resolve_model("builtin:mini"))
    assert weights_sha256(first) == weights_sha256(second) != weights_sha256(shipped)
    others = [path for path in shipped.rglob("*") if path.is_file() and "transformer" not in path.parts]
    assert all((first / path.relative_to(shipped)).read_bytes() == path.read_bytes() for path in others)
    assert builtin_revision("builtin:mini-noisy") != builtin_revision("builtin:mini")


def test_nothing_keeps_the_files_out_of_a_wheel() -> None:
    """Hatch packs the whole package, but for what git ignores or its configuration leaves out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["src/kreabench"]
    assert not {"exclude", "only-include", "include"} & (wheel.keys() | project["tool"]["hatch"]["build"].keys())
    if not (ROOT / ".git").exists():
        pytest.skip("what git ignores is known in a repository alone")
    names = [f"src/kreabench/miniature/weights/{name}" for name in (files.MANIFEST, *listed())]
    command = ["git", "check-ignore", "--no-index", *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


@pytest.mark.network
def test_a_wheel_holds_every_file_that_its_manifest_lists(tmp_path: Path) -> None:
    """pip fetches the build's own requirement."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, timeout=170)
    (built,) = tmp_path.glob("kreabench-*.whl")
    with zipfile.ZipFile(built) as wheel:
        prefix = "kreabench/miniature/weights/"
        packed = {name.removeprefix(prefix): wheel.read(name) for name in wheel.namelist() if name.startswith(prefix)}
        assert all(wheel.getinfo(prefix + name).external_attr >> 16 & 0o444 == 0o444 for name in packed), "for all"
    manifest = json.loads(packed.pop(files.MANIFEST))
    assert {name: hashlib.sha256(content).hexdigest() for name, content in packed.items()} == manifest["files"]
