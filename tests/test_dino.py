"""DINOv2 similarity is the cosine of what the model's authors compute, from a folder, without network or code in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageFilter

from kreabench.core.errors import EnvironmentProblem
from kreabench.metrics.base import ScoreItem
from kreabench.metrics.dino import DinoEncoder, DinoOptions, DinoSimilarity, dino_encoder
from kreabench.metrics.encoder import ImageEncoder
from kreabench.metrics.shared import Shared
from tests.metric_references import fidelity as references
from tests.metric_support import shared
from tests.small_weights.fidelity import dinov2_folder
from tests.support import picture
from tests.test_comparable import jpeg_item, photo

GEOMETRY = {"heads": 2, "shorter_side": 64, "side": 56}
SIZES = ((64, 64), (96, 64), (70, 131), (512, 384))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dinov2_folder(tmp_path_factory.mktemp("weights"))


def options(folder: Path, **changes: Any) -> dict[str, Any]:
    return {"weights": str(folder), "untrained": True, "device": "cpu", **changes}


def encoder_of(folder: Path | str, given: Shared | None = None) -> ImageEncoder:
    return dino_encoder(given or shared(), weights=str(folder), untrained=True, device="cpu")


@pytest.fixture(scope="module")
def metric(folder: Path) -> DinoSimilarity:
    opened = DinoSimilarity(**options(folder))
    opened.open(shared())
    return opened


def item(image: Image.Image, reference: Image.Image, *, sha256: str = "", reference_sha256: str = "") -> ScoreItem:
    return ScoreItem(image=image, prompt="", reference=reference, sha256=sha256, reference_sha256=reference_sha256)


def value(metric: DinoSimilarity, image: Image.Image, reference: Image.Image) -> float:
    score = metric.score([item(image, reference)])[0]
    assert score.value is not None, score
    return score.value


@pytest.mark.parametrize("size", SIZES)
def test_it_equals_the_model_written_down_anew(metric: DinoSimilarity, folder: Path, size: tuple[int, int]) -> None:
    one, other = photo(*size), photo(*size, seed=1)

    expected = references.dino_similarity(one, other, folder=folder, **GEOMETRY)

    assert value(metric, one, other) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_preprocessing_is_the_models_own(folder: Path, size: tuple[int, int]) -> None:
    """Within one level of Pillow's."""
    encoder = encoder_of(folder)
    assert isinstance(encoder, DinoEncoder)

    prepared = encoder._prepare(photo(*size))

    expected = references.centre_crop(photo(*size), shorter_side=64, side=56)[0]
    assert prepared.shape == expected.shape
    assert float((prepared - expected).abs().max()) <= 1 / 255 / min(references.IMAGENET_STD)


def test_equal_pictures_are_alike_and_damage_makes_them_less_so(metric: DinoSimilarity) -> None:
    assert value(metric, photo(), photo()) == pytest.approx(1.0, abs=1e-6)

    blurred = [photo().filter(ImageFilter.GaussianBlur(strength)) for strength in (1.0, 4.0, 16.0)]
    values = [value(metric, image, photo()) for image in blurred]

    assert values == sorted(values, reverse=True)
    assert values[0] < 1.0


def test_a_reference_passes_the_model_once_and_other_metrics_share_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = shared()
    metric = DinoSimilarity(**options(folder))
    metric.open(given)
    encoder = encoder_of(folder, given)
    assert encoder is metric._encoder
    seen: list[int] = []
    encode = encoder._encode

    def counted(batch: torch.Tensor) -> torch.Tensor:
        seen.append(len(batch))
        return encode(batch)

    monkeypatch.setattr(encoder, "_encode", counted)
    items = [item(photo(seed=seed), photo(seed=9), sha256=f"{seed}", reference_sha256="9") for seed in range(3)]

    first, again = metric.score(items), metric.score(items)

    assert first == again
    assert sum(seen) == 4


def test_a_picture_that_was_changed_is_not_taken_for_its_file(folder: Path, tmp_path: Path) -> None:
    """Matching the format changes the reference: its embedding is another."""
    given = shared()
    item = jpeg_item(tmp_path, photo(), photo(), quality=10)
    values = []
    for formats in ("as_delivered", "match", "as_delivered"):
        metric = DinoSimilarity(**options(folder, formats=formats))
        metric.open(given)
        values.append(metric.score([item])[0].value)

    assert values[1] == pytest.approx(1.0, abs=1e-6)
    assert values[0] == values[2]
    assert values[0] is not None
    assert values[0] < 0.9999


def test_a_picture_too_long_fails_alone(metric: DinoSimilarity) -> None:
    thin = picture(2100, 100)

    scores = metric.score([item(thin, thin), item(photo(), photo())])

    assert [score.status for score in scores] == ["failed", "ok"]
    assert "2100×100" in scores[0].reason


def test_the_identity_says_what_changes_a_score(folder: Path) -> None:
    def identity(**changes: Any) -> dict[str, Any]:
        return DinoSimilarity(**options(folder, **changes)).open(shared())

    first = identity()

    assert first["untrained"] is True
    assert len(first["weights_sha256"]) == 64
    assert first["preprocessing"]["crop_size"] == {"height": 56, "width": 56}
    assert identity(batch_size=3) == first
    assert identity(untrained=False) != first
    assert json.loads(json.dumps(first)) == first


def test_random_weights_are_the_same_each_time_and_branded() -> None:
    values = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        metric = DinoSimilarity(weights="random", untrained=True, device="cpu")
        assert metric.needs == ()
        assert metric.open(shared())["untrained"] is True
        values.append(value(metric, photo(), photo(seed=1)))

    assert values[0] == values[1]


def damaged(folder: Path, target: Path, damage: str) -> Path:
    """A copy of the folder with one thing wrong."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, target)
    weights, config = target / "model.safetensors", target / "config.json"
    state = load_file(weights)
    if damage == "a weight is missing":
        del state["encoder.layer.1.mlp.fc1.weight"]
        save_file(state, weights, metadata={"format": "pt"})
    elif damage == "a weight has another shape":
        state["layernorm.weight"] = torch.zeros(3)
        save_file(state, weights, metadata={"format": "pt"})
    elif damage == "another model":
        config.write_text(json.dumps({"model_type": "bert"}))
    elif damage == "no weights but a pickle":
        weights.unlink()
        torch.save(state, target / "pytorch_model.bin")
    elif damage == "cut off":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "no configuration":
        config.unlink()
    else:
        (target / "preprocessor_config.json").unlink()
    return target


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("a weight is missing", "encoder.layer.1.mlp.fc1.weight"),
        ("a weight has another shape", "layernorm.weight"),
        ("another model", "model type 'bert'"),
        ("no weights but a pickle", "model.safetensors"),
        ("cut off", "Error"),
        ("no configuration", "no readable config.json"),
        ("no preprocessor", "preprocessor_config.json"),
    ],
)
def test_a_folder_that_does_not_fit_is_named_and_nothing_is_drawn_at_random(
    folder: Path, tmp_path: Path, damage: str, found: str
) -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        encoder_of(damaged(folder, tmp_path / "copy", damage))

    problem = caught.value.problems[0]
    assert problem.key == "options.weights"
    assert found in problem.found
    assert "safetensors" in problem.expected


def test_code_of_a_folder_is_not_run(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "evil.Evil", "AutoConfig": "evil.Config"}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")

    assert encoder_of(copy).identity["model"] == "dinov2"
    assert not (tmp_path / "ran").exists()


def test_published_weights_that_are_not_here_are_a_need_and_not_a_download(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "KREABENCH_CACHE": str(tmp_path)}
    metric = DinoSimilarity(device="cpu")

    problem = metric.needs[0].problem(environ)

    assert problem is not None
    assert problem.key == "options.weights"
    assert metric.needs[0].fetchable
    with pytest.raises(EnvironmentProblem):
        metric.open(Shared(environ=environ))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"weights": "random"}, "untrained: true"),
        ({"device": "gpu"}, "device must be"),
        ({"batch_size": 0}, "batch_size must be at least 1, and is 0"),
        ({"formats": "any"}, "formats must be as_delivered or match"),
    ],
)
def test_options_that_mean_nothing_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DinoOptions(**wrong)
