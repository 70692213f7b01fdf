"""Training of the miniature, a few steps long: the same seed gives the same weights, stopped or not."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from training import __main__ as command
from training import aesthetic, clip, flux, redux, vae
from training.data import pictures, scenes, signed
from training.gate import GateFailed
from training.plan import LENGTHS, Length, Plan
from training.run import WEIGHTS, NotYet, Training, run
from training.stage import LOG, Chance, Stage, run_stage

from kreabench.drawn.captions import caption, claims_of, parse

STEPS = 3
TINY = Plan(
    lengths={name: Length(steps=STEPS, learning_rate=1e-3, warm_up=2) for name in LENGTHS},
    vae_pictures=8,
    held_out_pictures=8,
    evened_pictures=16,
    flux_pictures=8,
    clip_pictures=8,
    denoised_pictures=4,
    gate_pictures=4,
    least_read=0.0,
)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a step takes milliseconds."""
    for module in (vae, flux, redux):
        monkeypatch.setattr(module, "BATCH", 4)
    monkeypatch.setattr(clip, "PAIRS", 5)
    monkeypatch.setattr(aesthetic, "COUNT", 16)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As it was, afterwards."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def tiny(folder: Path, seed: int = 0) -> Training:
    return Training(folder=folder, seed=seed, threads=1, plan=TINY)


def stops_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of that step of every stage, the first time."""
    of, heard = Chance.of, set[str]()

    def stopping(stage: Stage, number: int) -> Chance:
        if number == step and stage.name not in heard:
            heard.add(stage.name)
            signal.raise_signal(signal.SIGINT)
        return of(stage, number)

    monkeypatch.setattr(Chance, "of", stopping)


def hashes(weights: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((weights / "manifest.json").read_text())["files"]
    return found


@pytest.mark.usefixtures("one_thread")
def test_stopped_in_every_stage_it_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tiny(tmp_path / "straight"))
    stops_at(1, monkeypatch)
    stops = 0
    while True:
        try:
            run(tiny(tmp_path / "stopped"))
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops == len(LENGTHS)
    straight, stopped = (tmp_path / name / WEIGHTS for name in ("straight", "stopped"))
    assert hashes(straight) == hashes(stopped)
    for name, digest in hashes(straight).items():
        assert hashlib.sha256((straight / name).read_bytes()).hexdigest() == digest
    read_as_diffusers_does(tiny(tmp_path / "straight"))


def read_as_diffusers_does(training: Training) -> None:
    """What was assembled is what was trained: the same tokens for the same picture, and a picture from them."""
    from diffusers import FluxPipeline, FluxPriorReduxPipeline
    from PIL import Image

    weights = training.folder / WEIGHTS
    pipeline = FluxPipeline.from_pretrained(weights / "flux", dtype=torch.float32)
    shared = {name: getattr(pipeline, name) for name in ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")}
    prior = FluxPriorReduxPipeline.from_pretrained(weights / "redux", dtype=torch.float32, **shared)
    images = pictures(scenes(5, 1))
    trained = training.finished("redux", redux.Prior()).half().float()
    words = pipeline.encode_prompt("a red circle", None, max_sequence_length=flux.TEXT_TOKENS)[:2]
    found = prior(
        image=Image.fromarray(images[0].permute(1, 2, 0).numpy()),
        prompt_embeds=words[0].clone(),
        pooled_prompt_embeds=words[1].clone(),
    )
    ours = training.parts.half().float().encode(["a red circle"])
    hidden, pooled = trained.join(signed(images), ours)
    torch.testing.assert_close(found.prompt_embeds, hidden, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.pooled_prompt_embeds, pooled, rtol=1e-4, atol=1e-5)
    pipeline.set_progress_bar_config(disable=True)
    (drawn,) = pipeline(**found, height=48, width=48, num_inference_steps=1).images
    assert drawn.size == (48, 48)


@pytest.mark.usefixtures("one_thread")
def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    for seed in (0, 1):
        run(tiny(tmp_path / str(seed), seed), ["vae"])
    first, second = (torch.load(tmp_path / seed / "vae.pt", weights_only=True)["averaged"] for seed in ("0", "1"))
    assert any(not torch.equal(first[name], second[name]) for name in first)


@pytest.mark.usefixtures("one_thread")
def test_a_blurring_autoencoder_is_stopped_for(tmp_path: Path) -> None:
    strict = replace(tiny(tmp_path), plan=replace(TINY, least_read=0.95))
    with pytest.raises(GateFailed, match=r"after the autoencoder .* is read back, expected 95% or more"):
        run(strict)
    assert not (tmp_path / "latents.pt").exists()


@pytest.mark.usefixtures("one_thread")
def test_a_stage_before_its_time_names_what_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(tmp_path), "--only", "redux", "--threads", "1"]) == 2
    assert "the stage redux_words is not finished" in capsys.readouterr().err


@pytest.mark.usefixtures("one_thread")
def test_a_folder_has_one_seed(tmp_path: Path) -> None:
    run(tiny(tmp_path, seed=0), ["vae"])
    with pytest.raises(NotYet, match=r"was begun with \{'seed': 0\}, not with \{'seed': 1"):
        run(tiny(tmp_path, seed=1), ["vae"])


@pytest.mark.usefixtures("one_thread")
def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    said: list[str] = []
    run(tiny(tmp_path), ["vae"], said.append)
    before = (tmp_path / "vae.pt").stat().st_mtime_ns
    run(tiny(tmp_path), ["vae"], said.append)
    assert said == ["vae: 3 steps", "vae: done before"]
    assert (tmp_path / "vae.pt").stat().st_mtime_ns == before


def test_ctrl_c_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "run", interrupted)
    assert command.main([str(tmp_path)]) == 130
    assert "the same command goes on" in capsys.readouterr().out


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_second_ctrl_c_stops_within_a_step(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)

    def step(chance: Chance) -> torch.Tensor:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError

    handler = signal.getsignal(signal.SIGINT)
    stage = Stage(name="line", folder=tmp_path, seed=0, steps=5, learning_rate=0.1)
    with pytest.raises(KeyboardInterrupt):
        run_stage(stage, model, step)
    assert signal.getsignal(signal.SIGINT) is handler
    assert not stage.file.exists()


def test_a_stage_learns_and_logs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Linear(2, 1)

    def step(chance: Chance) -> torch.Tensor:
        given = torch.randn(16, 2, generator=chance.torch)
        loss: torch.Tensor = (model(given)[:, 0] - given.sum(1)).square().mean()
        return loss

    stage = Stage(name="line", folder=tmp_path, seed=0, steps=200, learning_rate=0.05, average=0.9, check_every=100)
    trained = run_stage(stage, model, step, check=lambda averaged: {"weight": float(next(averaged.parameters())[0, 0])})
    assert next(trained.parameters()).flatten().tolist() == pytest.approx([1, 1], abs=0.01)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [line["step"] for line in lines] == [50, 100, 150, 200]
    assert ["weight" in line for line in lines] == [False, True, False, True]
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_a_pair_is_told_one_way_and_truly() -> None:
    """The other way round names the same picture."""
    seen = set()
    for scene in scenes(0, 100):
        told = redux.told_one_way(claims_of(scene))
        seen.add(told.relation)
        assert parse(caption(told)) == told
        if told.relation is not None:
            first, second = (
                next(item for item in scene.items if (item.colour, item.shape) == words) for words in told.items
            )
            assert (first.x < second.x) if told.relation == "left" else (first.y < second.y)
    assert seen == {None, "left", "above"}
