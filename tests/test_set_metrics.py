"""KID, FID, CMMD and Vendi as metrics: what they see of pictures, what they refuse, and what they say besides."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.image.fid import NoTrainInceptionV3

from kreabench.core.errors import EnvironmentProblem
from kreabench.core.per_prompt import from_details
from kreabench.metrics.base import Member, ScoreItem
from kreabench.metrics.clip_score import ClipScore
from kreabench.metrics.distances import effective_number, frechet_distance
from kreabench.metrics.inception import PUBLISHED, inception_encoder, inception_need
from kreabench.metrics.sets import Cmmd, CmmdOptions, Fid, InceptionOptions, Kid, Vendi, VendiOptions
from kreabench.metrics.shared import Shared
from tests.metric_support import offline_options, shared
from tests.small_weights.fidelity import dinov2_folder
from tests.small_weights.sets import inception_file
from tests.support import picture

PICTURES = (picture(299, 299, seed=1), picture(64, 48, seed=2), picture(299, 299, seed=3))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return inception_file(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def opened(weights: Path) -> Iterator[tuple[Shared, Kid, Fid]]:
    """KID and FID of one scoring."""
    together = shared()
    options = {"weights": str(weights), "untrained": True, "device": "cpu", "batch_size": 4}
    kid, fid = Kid(**options), Fid(**options, force=True)
    kid.open(together)
    fid.open(together)
    yield together, kid, fid
    together.close()


def items(pictures: Sequence[Image.Image]) -> list[ScoreItem]:
    return [
        ScoreItem(image=image, prompt="", reference=None, sha256=f"{number}" * 64)
        for number, image in enumerate(pictures)
    ]


def members(rows: Any, prompts: int = 0) -> list[Member]:
    """Rows as pictures, of as many prompts, or each of its own."""
    return [
        Member(
            prompt_id=f"p{number % prompts if prompts else number}",
            seed=number,
            features=np.asarray(row, dtype=np.float32),
        )
        for number, row in enumerate(rows)
    ]


def sample(seed: int, number: int = 20, width: int = 12) -> Any:
    return np.random.default_rng(seed).normal(size=(number, width))


# --- Inception


def torchmetrics_features(weights: Path, *, antialias: bool) -> list[np.ndarray[Any, Any]]:
    network = NoTrainInceptionV3("inception", ["2048"], str(weights), antialias=antialias)
    inputs = [torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] for image in PICTURES]
    with torch.inference_mode():
        return [network(batch)[0].numpy() for batch in inputs]


def test_features_are_those_of_the_original_network_at_any_size(opened: Any, weights: Path) -> None:
    _, kid, _ = opened
    found = kid.features(items(PICTURES))
    theirs = torchmetrics_features(weights, antialias=False)

    for ours, expected in zip(found, theirs, strict=True):
        assert ours.shape == (2048,)
        assert np.allclose(ours, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
        assert not np.isclose(np.linalg.norm(ours), 1.0)  # their lengths matter to FID
    assert np.abs(found[0] - found[2]).max() > 0.01 * np.abs(found[0]).max()


def test_torchmetrics_resizes_otherwise_unless_told(weights: Path) -> None:
    """The trap: its FID is not the original's for pictures that must be resized."""
    large = np.abs(
        torchmetrics_features(weights, antialias=True)[1] - torchmetrics_features(weights, antialias=False)[1]
    )

    assert large.max() > 0


def test_kid_and_fid_share_one_pass(opened: Any) -> None:
    together, kid, fid = opened
    kid.features(items(PICTURES))
    encoder = kid._encoder
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder, "_encode", lambda batch: calls.append(batch))
        rows = fid.features(items(PICTURES))

    assert fid._encoder is encoder
    assert len(together._encoders) == 1
    assert (len(rows), calls) == (3, [])


class Bomb:
    def __reduce__(self) -> Any:
        return os.system, ("touch exploded",)


def test_code_in_a_weights_file_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.pth").write_bytes(pickle.dumps({"conv": Bomb()}))
    torch.save({"conv": Bomb()}, tmp_path / "bad_too.pth")

    for name in ("bad.pth", "bad_too.pth"):
        with pytest.raises(EnvironmentProblem) as caught:
            Kid(weights=str(tmp_path / name), device="cpu").open(shared())
        assert caught.value.problems[0].key == "options.weights"
    assert not (tmp_path / "exploded").exists()


def test_weights_of_another_network_are_named(tmp_path: Path, weights: Path) -> None:
    state = torch.load(weights, weights_only=True)
    state["Conv2d_1a_3x3.conv.weight"] = torch.zeros(32, 3, 5, 5)
    del state["fc.bias"]
    torch.save(state, tmp_path / "other.pth")

    with pytest.raises(EnvironmentProblem) as caught:
        Fid(weights=str(tmp_path / "other.pth"), device="cpu").open(shared())
    found = str(caught.value.problems[0])
    assert "Conv2d_1a_3x3.conv.weight" in found
    assert "fc.bias" in found


def test_the_published_weights_are_pinned_and_can_be_fetched() -> None:
    need = inception_need(PUBLISHED)

    assert need is not None
    assert need.fetchable
    # The file's own name begins with its hash, as torch's hub names files.
    assert PUBLISHED.partition("#sha256=")[2].startswith(PUBLISHED.partition("12-05-")[2][:8])
    assert InceptionOptions().weights == PUBLISHED


def test_random_weights_are_drawn_alike_and_branded() -> None:
    found = []
    for _ in range(2):
        encoder = inception_encoder(shared(), weights="random", untrained=True, device="cpu")
        (vector,) = encoder.embed([("", PICTURES[1])], batch_size=1)
        assert isinstance(vector, torch.Tensor)
        found.append(vector)

    assert encoder.identity["untrained"] is True
    assert torch.equal(*found)
    with pytest.raises(ValueError, match="untrained"):
        Kid(weights="random")


@pytest.mark.parametrize("options", [{"device": "tpu"}, {"batch_size": 0}, {"weights": ""}])
def test_options_that_no_machine_can_fulfil(options: dict[str, Any]) -> None:
    for metric in (Kid, Fid, Cmmd):
        with pytest.raises(ValueError, match=next(iter(options))):
            metric(**options)


# --- KID and FID


def test_kid_is_0_within_its_error_for_one_distribution_and_far_above_for_another() -> None:
    kid = Kid(weights="random", untrained=True)
    same = kid.compare(members(sample(1)), members(sample(2)))
    shifted = kid.compare(members(sample(1) + 1.0), members(sample(2)))

    assert abs(same.value or 0) < 3 * same.details["standard_error"]
    assert (shifted.value or 0) > 5 * shifted.details["standard_error"]


def test_fid_refuses_small_sets_and_says_what_to_take_instead() -> None:
    fid = Fid(weights="random", untrained=True)
    score = fid.compare(members(sample(1, 2047, 2)), members(sample(2, 2048, 2)))

    assert (score.status, score.value) == ("not_applicable", None)
    assert "at least 2,048 pictures a side" in score.reason
    assert "2,047 pictures and 2,048 of the reference" in score.reason
    assert "kid" in score.reason


def test_fid_of_enough_pictures_needs_no_force() -> None:
    x, y = sample(1, 2048, 3).astype(np.float32), sample(2, 2048, 3).astype(np.float32)
    score = Fid(weights="random", untrained=True).compare(members(x), members(y))

    assert (score.status, score.notes) == ("ok", ())
    assert score.value == pytest.approx(frechet_distance(x, y))


def test_forced_fid_says_that_it_was_forced_and_is_another_score(weights: Path) -> None:
    options = {"weights": str(weights), "untrained": True, "device": "cpu"}
    score = Fid(**options, force=True).compare(members(sample(1)), members(sample(2)))

    assert score.status == "ok"
    assert "forced with 20 pictures and 20 of the reference" in score.notes[0]
    assert Fid(**options, force=True).open(shared()) != Fid(**options).open(shared())


# --- CMMD


@pytest.fixture
def cmmd(tmp_path: Path) -> Cmmd:
    metric = Cmmd(**offline_options("cmmd", tmp_path))
    metric.open(shared())
    return metric


def test_cmmd_sees_the_whole_picture(cmmd: Cmmd) -> None:
    wide = picture(192, 64, seed=1)
    other = wide.copy()
    other.paste(0, (0, 0, 60, 64))  # outside the centred square

    rows = cmmd.features([ScoreItem(image=image, prompt="", reference=None) for image in (wide, other)])

    assert not np.allclose(rows[0], rows[1])


def test_cmmd_follows_the_papers_definition(tmp_path: Path) -> None:
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (sample(1), sample(2)))

    def mean(a: Any, b: Any) -> float:
        return float(np.mean([[np.exp(-((p - q) ** 2).sum() / (2 * 10**2)) for q in b] for p in a]))

    expected = 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))
    options = offline_options("cmmd", tmp_path)
    biased = Cmmd(**options, estimator="biased").compare(members(x), members(y)).value
    unbiased = Cmmd(**options).compare(members(x), members(y)).value

    assert biased == pytest.approx(expected, rel=1e-4)
    assert unbiased is not None
    # Taking each picture's kernel with itself, 1, out of its set's mean.
    assert unbiased == pytest.approx(
        1000 * ((400 * mean(x, x) - 20) / 380 + (400 * mean(y, y) - 20) / 380 - 2 * mean(x, y)), rel=1e-4
    )
    with pytest.raises(ValueError, match="estimator"):
        CmmdOptions(estimator="best")  # type: ignore[arg-type]


# --- Vendi


def vendi_of(rows: Any, prompts: list[str], seeds: list[int]) -> Any:
    pictures = [
        Member(prompt_id=prompt, seed=seed, features=np.asarray(row, dtype=np.float32))
        for row, prompt, seed in zip(rows, prompts, seeds, strict=True)
    ]
    return Vendi(encoder="clip", weights="random", untrained=True).compare(pictures, [])


def test_vendi_is_the_mean_over_prompts_of_the_effective_number_of_pictures() -> None:
    rows = [*np.eye(4)[:3], *np.ones((2, 4)), *sample(1, 1, 4)]
    score = vendi_of(rows, ["apart"] * 3 + ["alike"] * 2 + ["alone"], [0, 1, 2, 0, 1, 0])

    assert score.value == pytest.approx((3 + 1) / 2)
    assert (score.details["prompts"], score.details["seeds_per_prompt"]) == (2, 2.5)
    assert score.details["smallest"] == pytest.approx(1.0)
    values = from_details(score.details)
    assert {prompt: number for prompt, (_, number) in values.items()} == {"apart": 3, "alike": 2}
    assert values["apart"][0] == pytest.approx(3.0)


def test_a_picture_drawn_again_is_no_other_picture() -> None:
    rows = sample(1, 3, 8)
    score = vendi_of([rows[0], rows[1], rows[0], rows[2]], ["p"] * 4, [0, 1, 0, 2])

    assert score.value == pytest.approx(effective_number(rows), rel=1e-5)


def test_one_seed_a_prompt_shows_no_diversity() -> None:
    score = vendi_of(sample(1, 3, 8), ["a", "b", "c"], [0, 0, 0])

    assert (score.status, score.value) == ("not_applicable", None)
    assert "two seeds" in score.reason


def test_vendi_shares_the_pass_of_clip_score() -> None:
    options = {"model": "builtin:mini-untrained", "weights": "random", "untrained": True, "device": "cpu"}
    together = shared()
    Vendi(encoder="clip", **options).open(together)
    ClipScore(**options).open(together)

    assert len(together._encoders) == 1


def test_vendi_sees_with_dinov2(tmp_path: Path) -> None:
    metric = Vendi(weights=str(dinov2_folder(tmp_path)), untrained=True, device="cpu")
    identity = metric.open(shared())
    rows = metric.features(items(PICTURES))

    assert (identity["model"], identity["untrained"]) == ("dinov2", True)
    assert all(np.isclose(np.linalg.norm(row), 1.0, atol=1e-5) for row in rows if not isinstance(row, str))
    assert Vendi().needs[0].fetchable
    with pytest.raises(ValueError, match="encoder"):
        VendiOptions(encoder="eyes")  # type: ignore[arg-type]
