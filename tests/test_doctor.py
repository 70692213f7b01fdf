"""`kreabench doctor`: says what will work, by asking the back ends the same question that a run asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from kreabench.cli.main import main
from kreabench.core.errors import ExitCode


def doctor(*targets: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["doctor", *targets])
    return int(exit_.value.code or 0)


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FAL_KEY", raising=False)


def test_without_names_everything_is_listed_and_nothing_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor() == ExitCode.DONE
    out = capsys.readouterr().out
    for word in ("kreabench", "torch", "diffusers", "CPU", "GPU", "krea_local", "krea_fal", "mini_local"):
        assert word in out


def test_a_target_that_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor("fake_local", "mini_local") == ExitCode.DONE
    assert capsys.readouterr().out.count("not ready") == 0


def test_a_missing_key_is_named_and_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor("krea_fal") == ExitCode.USAGE
    out = capsys.readouterr().out
    assert "not ready (FAL_KEY is not set)" in out


def test_a_key_is_never_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", "id:very-secret")
    assert doctor("krea_fal") == ExitCode.DONE
    out, err = capsys.readouterr()
    assert "FAL_KEY is set" in out
    assert "very-secret" not in out + err


def test_missing_weights_say_how_to_get_them(capsys: pytest.CaptureFixture[str]) -> None:
    """The tests run with HF_HUB_OFFLINE=1 and an empty cache."""
    assert doctor("krea_local") == ExitCode.USAGE
    out = capsys.readouterr().out
    assert "huggingface.co/black-forest-labs/FLUX.1-Krea-dev" in out
    assert "hf auth login" in out
