"""LPIPS and DISTS are what their authors publish, on weights from a file, and say so where they cannot be."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageFilter

from kreabench.core.errors import EnvironmentProblem
from kreabench.metrics.base import Score, ScoreItem
from kreabench.metrics.perceptual import Dists, DistsOptions, Lpips, LpipsOptions
from tests.metric_references import fidelity as references
from tests.metric_support import shared
from tests.small_weights.fidelity import torchvision_features
from tests.support import picture
from tests.test_comparable import photo

SIZES = ((64, 64), (80, 48), (31, 47))
Metric = Lpips | Dists


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    return {name: torchvision_features(name, folder) for name in ("alexnet", "vgg16")}


def options(path: Path, **changes: Any) -> dict[str, Any]:
    return {"weights": str(path), "untrained": True, "device": "cpu", **changes}


@pytest.fixture(scope="module")
def lpips(files: dict[str, Path]) -> Lpips:
    metric = Lpips(**options(files["alexnet"]))
    metric.open(shared())
    return metric


@pytest.fixture(scope="module")
def dists(files: dict[str, Path]) -> Dists:
    metric = Dists(**options(files["vgg16"]))
    metric.open(shared())
    return metric


@pytest.fixture(params=["lpips", "dists"])
def metric(request: pytest.FixtureRequest) -> Metric:
    opened: Metric = request.getfixturevalue(request.param)
    return opened


def item(image: Image.Image, reference: Image.Image | None) -> ScoreItem:
    return ScoreItem(image=image, prompt="", reference=reference)


def value(metric: Metric, image: Image.Image, reference: Image.Image) -> float:
    score = metric.score([item(image, reference)])[0]
    assert score.status == "ok", score
    assert score.value is not None
    return score.value


def small(seed: int = 0) -> Image.Image:
    return photo(64, 48, seed=seed)


def shipped(name: str) -> dict[str, torch.Tensor]:
    """Small weights that come with torchmetrics."""
    import torchmetrics.functional.image as package

    weights: dict[str, torch.Tensor] = torch.load(
        Path(package.__path__[0]) / name, map_location="cpu", weights_only=True
    )
    return weights


@pytest.mark.parametrize("size", SIZES)
def test_lpips_equals_the_paper(lpips: Lpips, files: dict[str, Path], size: tuple[int, int]) -> None:
    one, other = photo(*size), photo(*size, seed=1)
    state, linear = torch.load(files["alexnet"], weights_only=True), shipped("lpips_models/alex.pth")

    expected = references.lpips(one, other, state=state, linear=linear)

    assert value(lpips, one, other) == pytest.approx(expected, rel=1e-4)


def test_lpips_equals_the_class_of_torchmetrics(
    lpips: Lpips, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision
    from torchmetrics.functional.image import lpips as library
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    def features(net: str, pretrained: bool = False) -> torch.nn.Module:
        model: torch.nn.Module = torchvision.models.get_model(net, weights=None).features
        state = torch.load(files[net], weights_only=True)
        model.load_state_dict({name.removeprefix("features."): weights for name, weights in state.items()})
        return model

    monkeypatch.setattr(library, "_get_tv_model_features", features)
    theirs = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)
    one, other = small(), small(seed=1)

    expected = theirs(
        *(torch.from_numpy(references.pixels(image)).permute(2, 0, 1)[None].float() / 255 for image in (one, other))
    )

    assert value(lpips, one, other) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_dists_equals_the_paper(dists: Dists, files: dict[str, Path], size: tuple[int, int]) -> None:
    one, other = photo(*size), photo(*size, seed=1)
    state, own = torch.load(files["vgg16"], weights_only=True), shipped("dists_models/weights.pt")

    assert value(dists, one, other) == pytest.approx(references.dists(one, other, state=state, own=own), rel=1e-4)


def test_dists_shrinks_as_its_authors_do(files: dict[str, Path]) -> None:
    """With a filter against aliasing, and the longer side rounded down: to 47 × 27 pixels and not 48."""
    one, other = photo(125, 71), photo(125, 71, seed=1)
    state, own = torch.load(files["vgg16"], weights_only=True), shipped("dists_models/weights.pt")
    metric = Dists(**options(files["vgg16"], shorter_side_px=27))
    metric.open(shared())

    expected = references.dists(one, other, state=state, own=own, shorter_side=27)

    assert value(metric, one, other) == pytest.approx(expected, rel=1e-4)


def test_dists_equals_the_network_of_torchmetrics_where_nothing_is_shrunk(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision
    from torchmetrics.functional.image import dists as library

    def vgg16(weights: Any = None) -> torch.nn.Module:
        with torch.device("meta"):
            model: torch.nn.Module = torchvision.models.vgg16(weights=None)
        model.load_state_dict(torch.load(files["vgg16"], weights_only=True), strict=False, assign=True)
        return model

    monkeypatch.setattr(library, "vgg16", vgg16)
    ours = Dists(**options(files["vgg16"], shorter_side_px=0))
    ours.open(shared())
    one, other = photo(64, 48), photo(64, 48, seed=1)

    theirs = (
        library.DISTSNetwork()
        .eval()
        .requires_grad_(False)(
            *(torch.from_numpy(references.pixels(image)).permute(2, 0, 1)[None].float() / 255 for image in (one, other))
        )
    )

    assert value(ours, one, other) == pytest.approx(float(theirs), rel=1e-4)


def test_equal_pictures_have_no_distance(metric: Metric) -> None:
    assert value(metric, small(), small()) == pytest.approx(0.0, abs=1e-6)


def test_which_is_the_reference_makes_no_difference(metric: Metric) -> None:
    one, other = small(), small(seed=1)

    assert value(metric, one, other) == pytest.approx(value(metric, other, one), rel=1e-5)


@pytest.mark.parametrize(
    "distorted",
    [
        lambda image, strength: image.filter(ImageFilter.GaussianBlur(strength)),
        lambda image, strength: Image.blend(image, photo(80, 64, seed=9, noise=40.0), strength / 5),
    ],
    ids=["blur", "noise"],
)
def test_a_stronger_distortion_is_farther(
    metric: Metric, distorted: Callable[[Image.Image, float], Image.Image]
) -> None:
    distances = [value(metric, distorted(photo(80, 64), strength), photo(80, 64)) for strength in (0.5, 1.0, 2.0, 4.0)]

    assert distances == sorted(distances)
    assert distances[0] > 1e-5


def test_pairs_score_alike_alone_and_in_mixed_batches(metric: Metric) -> None:
    sizes = [(64, 64), (80, 48), (64, 64), (64, 64), (80, 48)]
    items = [item(photo(*size, seed=number), photo(*size, seed=9)) for number, size in enumerate(sizes)]

    together = [score.value for score in metric.score(items)]

    assert together == pytest.approx([metric.score([one])[0].value for one in items], rel=1e-4)
    assert len(set(together)) == len(items)


def test_where_memory_runs_out_the_batch_is_halved(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [item(photo(64, 64, seed=number), photo(64, 64, seed=9)) for number in range(4)]
    expected = [score.value for score in metric.score(items)]
    model, sizes = metric._model, []
    assert model is not None

    def small(pictures: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        sizes.append(len(pictures))
        if len(pictures) > 1:
            raise torch.OutOfMemoryError
        distances: torch.Tensor = model(pictures, reference)
        return distances

    monkeypatch.setattr(metric, "_model", small)

    assert [score.value for score in metric.score(items)] == pytest.approx(expected, rel=1e-4)
    assert sizes == [4, 2, 1, 1, 2, 1, 1]


def test_a_pair_too_large_for_the_memory_fails_alone(lpips: Lpips, monkeypatch: pytest.MonkeyPatch) -> None:
    model = lpips._model
    assert model is not None

    def small(pictures: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        if pictures.shape[-1] > 64:
            raise torch.OutOfMemoryError("CUDA out of memory")
        distances: torch.Tensor = model(pictures, reference)
        return distances

    monkeypatch.setattr(lpips, "_model", small)
    scores = lpips.score([item(picture(*size), picture(*size, seed=1)) for size in ((64, 64), (96, 64), (64, 64))])

    assert [score.status for score in scores] == ["ok", "failed", "ok"]
    assert "out of memory" in scores[1].reason


def test_a_distance_that_is_no_number_is_a_failure(lpips: Lpips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lpips, "_model", lambda pictures, _: torch.full((len(pictures),), torch.nan))

    assert lpips.score([item(small(), small())])[0] == Score(status="failed", value=None, reason="the distance is nan")


def test_lpips_needs_room_for_its_strides(lpips: Lpips) -> None:
    score = lpips.score([item(picture(30, 64), picture(30, 64))])[0]

    assert (score.status, score.value) == ("not_applicable", None)
    assert "30×64" in score.reason
    assert "31 a side" in score.reason


def test_the_classifier_is_not_needed_but_may_be_there(lpips: Lpips, files: dict[str, Path], tmp_path: Path) -> None:
    state = torch.load(files["alexnet"], weights_only=True)
    torch.save({**state, "classifier.1.weight": torch.zeros(2, 2)}, tmp_path / "whole.pth")
    whole = Lpips(**options(tmp_path / "whole.pth"))
    whole.open(shared())

    assert value(whole, small(), small(seed=1)) == value(lpips, small(), small(seed=1))


def test_the_identity_says_what_changes_a_score(files: dict[str, Path]) -> None:
    def identity(**changes: Any) -> dict[str, Any]:
        return Dists(**options(files["vgg16"], **changes)).open(shared())

    first = identity()
    assert first["untrained"] is True
    assert first["device"] == "cpu"
    assert len(first["weights_sha256"]) == 64
    assert len(first["dists_sha256"]) == 64
    assert identity(batch_size=1) == first
    assert identity(shorter_side_px=128) != first


def test_random_weights_are_the_same_each_time_and_branded() -> None:
    values: list[float] = []
    for _ in range(2):
        torch.manual_seed(len(values))
        metric = Lpips(weights="random", untrained=True, device="cpu")
        assert metric.needs == ()
        assert metric.open(shared())["untrained"] is True
        values.append(value(metric, small(), small(seed=1)))

    assert values[0] == values[1]


def test_opening_leaves_the_callers_generator_alone(files: dict[str, Path]) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    Lpips(**options(files["alexnet"])).open(shared())

    assert torch.rand(1) == expected


def test_weights_of_another_shape_are_named(files: dict[str, Path], tmp_path: Path) -> None:
    state = torch.load(files["alexnet"], weights_only=True)
    damaged: dict[str, Mapping[str, torch.Tensor]] = {
        "features.3.weight": {**state, "features.3.weight": torch.zeros(192, 64, 3, 3)},
        "features.10.bias": {name: weights for name, weights in state.items() if name != "features.10.bias"},
        "features.99.bias": {**state, "features.99.bias": torch.zeros(3)},
    }
    for name, content in damaged.items():
        torch.save(content, tmp_path / "x.pth")
        with pytest.raises(EnvironmentProblem) as caught:
            Lpips(**options(tmp_path / "x.pth")).open(shared())

        problem = caught.value.problems[0]
        assert problem.key == "options.weights"
        assert name in problem.found


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("key", ["weights", "dists_weights"])
def test_code_in_a_pickle_is_not_run(files: dict[str, Path], tmp_path: Path, key: str) -> None:
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"features.0.weight": _Trap(tmp_path / "ran")}))
    metric = Dists(**options(files["vgg16"]) | {key: str(tmp_path / "evil.pth")})

    with pytest.raises(EnvironmentProblem) as caught:
        metric.open(shared())

    assert caught.value.problems[0].key == f"options.{key}"
    assert not (tmp_path / "ran").exists()


def test_weights_of_dists_that_are_none_are_named(files: dict[str, Path]) -> None:
    metric = Dists(**options(files["vgg16"], dists_weights=str(files["alexnet"])))

    with pytest.raises(EnvironmentProblem) as caught:
        metric.open(shared())

    assert caught.value.problems[0].key == "options.dists_weights"
    assert "alpha" in caught.value.problems[0].expected


def test_a_file_that_is_not_there_is_a_need(tmp_path: Path, files: dict[str, Path]) -> None:
    metric = Dists(**options(tmp_path / "a.pth", dists_weights=str(tmp_path / "b.pth")))

    problems = [need.problem(os.environ) for need in metric.needs]

    assert [problem.key for problem in problems if problem] == ["options.weights", "options.dists_weights"]
    assert Dists(**options(files["vgg16"])).needs[0].problem(os.environ) is None


def test_the_published_weights_carry_the_hash_that_their_name_begins() -> None:
    """torchvision names a file after the first eight digits of its SHA-256."""
    for source in (LpipsOptions().weights, DistsOptions().weights):
        address, _, digest = source.partition("#sha256=")

        assert len(digest) == 64
        assert address.endswith(f"-{digest[:8]}.pth")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda url, **_: asked.append(url))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda url, *_, **__: asked.append(url))
    return asked


def test_opening_asks_no_hub(no_network: list[str], files: dict[str, Path]) -> None:
    Lpips(**options(files["alexnet"])).open(shared())
    Dists(**options(files["vgg16"])).open(shared())

    assert no_network == []


@pytest.mark.parametrize(
    ("cls", "wrong", "message"),
    [
        (LpipsOptions, {"weights": "random"}, "untrained: true"),
        (LpipsOptions, {"weights": ""}, "weights must be"),
        (LpipsOptions, {"device": "gpu"}, "device must be auto, cpu, cuda or cuda:N, and is 'gpu'"),
        (LpipsOptions, {"batch_size": 0}, "batch_size must be at least 1, and is 0"),
        (LpipsOptions, {"sizes": "any"}, "sizes must be equal or shrink, and is 'any'"),
        (DistsOptions, {"dists_weights": "random"}, "dists_weights must be"),
        (DistsOptions, {"shorter_side_px": -1}, "shorter_side_px must be at least 0, and is -1"),
    ],
)
def test_options_that_mean_nothing_are_refused(cls: Any, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cls(**wrong)


def test_scoring_before_opening_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(RuntimeError, match="before open"):
        Lpips().score([item(small(), small())])
