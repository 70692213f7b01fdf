"""One CLIP encoder for several metrics: shared, its weights held once, its preprocessing the model's own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from huggingface_hub.constants import REPO_ID_SEPARATOR
from PIL import Image

from kreabench.config.resolve import load_metrics
from kreabench.core.errors import EnvironmentProblem
from kreabench.metrics import random_clip
from kreabench.metrics.aesthetic import Aesthetic
from kreabench.metrics.base import Metric, ScoreItem
from kreabench.metrics.clip_encoder import ClipEncoder, open_clip_encoder
from kreabench.metrics.clip_iqa import ClipIqa
from kreabench.metrics.clip_score import ClipScore
from kreabench.metrics.clip_weights import ClipWeightsNeed
from kreabench.metrics.prompt_encoder import REMEMBERED_PROMPTS, Text
from kreabench.metrics.table import metric_class
from tests.hub_service import HubService, use_hub
from tests.metric_support import shared
from tests.small_weights.clip import clip_state, open_clip_file
from tests.support import picture

MINI: dict[str, Any] = {"model": "builtin:mini-untrained", "weights": "random", "untrained": True, "device": "cpu"}
ODD_PROMPTS = {
    "two thousand words": "lighthouse " * 2000,
    "empty": "",
    "only spaces": "   \n\t ",
    "emoji": "👩‍🚀🦑 on the moon 🌕",
    "Arabic": "صورة لقارب صيد قديم عند الغروب",
    "Chinese": "雨夜的霓虹街道，一位老人撑着红伞",
    "half a character": "a dog \ud83d",
    "a zero byte": "a dog\x00a cat",
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return open_clip_file(tmp_path_factory.mktemp("clip"), "clip.safetensors")


@pytest.fixture
def encoder(weights: Path) -> ClipEncoder:
    return open_clip_encoder(
        shared(), model="builtin:mini-untrained", weights=str(weights), untrained=False, device="cpu"
    )


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches of pictures that were encoded."""
    sizes: list[int] = []
    encode: Callable[..., Any] = ClipEncoder._encode

    def counted(self: ClipEncoder, batch: torch.Tensor) -> Any:
        sizes.append(len(batch))
        return encode(self, batch)

    monkeypatch.setattr(ClipEncoder, "_encode", counted)
    return sizes


def scored(number: int = 0, prompt: str = "a dog", image: Image.Image | None = None) -> ScoreItem:
    return ScoreItem(image=image or picture(64, 64, seed=number), prompt=prompt, reference=None, sha256=f"{number:064}")


def test_metrics_on_one_model_share_one_pass_of_each_picture(
    passes: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KREABENCH_CACHE", str(tmp_path))
    scoring, items = shared(), [scored(number) for number in range(3)]
    metrics: list[Metric] = [ClipScore(**MINI), Aesthetic(**MINI, head="random"), ClipIqa(**MINI)]
    metrics.append(ClipIqa(**MINI, positive="Natural skin texture.", negative="Waxy plastic skin."))

    for metric in metrics:
        metric.open(scoring)
    values = [[score.value for score in metric.score(items)] for metric in metrics]

    assert sum(passes) == len(items)
    for metric, together in zip(metrics, values, strict=True):
        metric.open(shared())
        assert [score.value for score in metric.score(items)] == together


def test_other_weights_are_another_encoder(tmp_path: Path, weights: Path) -> None:
    scoring = shared()
    other = tmp_path / "other.pt"
    torch.save({name: value * 1.5 for name, value in clip_state().items()}, other)

    first, again, second = (
        open_clip_encoder(scoring, model="builtin:mini-untrained", weights=str(path), untrained=False, device="cpu")
        for path in (weights, weights, other)
    )

    assert first is again
    assert first is not second


def test_a_prompt_is_encoded_once(encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    first = encoder.texts(["a dog", "a cat", "a dog"])
    monkeypatch.setattr(ClipEncoder, "_encode_text", lambda *_: pytest.fail("encoded again"))

    assert encoder.texts(["a cat", "a dog"]) == [first[1], first[0]]


def test_prompts_are_forgotten_when_there_are_too_many(encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kreabench.metrics.prompt_encoder.REMEMBERED_PROMPTS", 2)

    texts = encoder.texts(["a", "b", "c"])

    assert REMEMBERED_PROMPTS > 100
    assert all(isinstance(text, Text) for text in texts)
    assert list(encoder._texts) == ["b", "c"]


@pytest.mark.parametrize("name", list(ODD_PROMPTS))
def test_odd_prompts_have_a_score_or_a_reason(weights: Path, name: str) -> None:
    metric = ClipScore(model="builtin:mini-untrained", weights=str(weights), device="cpu")
    metric.open(shared())

    before, odd, after = metric.score([scored(), scored(1, ODD_PROMPTS[name]), scored()])

    assert (before.status, after.status) == ("ok", "ok")
    assert (odd.status == "ok") == (odd.value is not None)
    assert odd.status == "ok" or odd.reason
    assert odd.truncated is (name == "two thousand words")


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (1024, 32), (77, 500)])
def test_pictures_of_any_size_are_scored(encoder: ClipEncoder, size: tuple[int, int]) -> None:
    vectors = encoder.embed([("", picture(*size)), ("", picture(64, 64))], batch_size=2)

    assert [vector.shape for vector in vectors if not isinstance(vector, str)] == [(64,), (64,)]


def test_an_embedding_of_no_numbers_is_a_failure_not_a_score(tmp_path: Path) -> None:
    path = tmp_path / "broken.pt"
    broken = {name: value * (float("nan") if name == "visual.proj" else 1) for name, value in clip_state().items()}
    torch.save(broken, path)
    options: dict[str, Any] = {"model": "builtin:mini-untrained", "weights": str(path), "device": "cpu"}
    metrics: list[Metric] = [
        ClipScore(**options),
        ClipIqa(**options),
        Aesthetic(**options, head="random", untrained=True),
    ]

    for metric in metrics:
        metric.open(shared())
        (score,) = metric.score([scored()])
        assert (score.status, score.value) == ("failed", None)
        assert "not finite" in score.reason


def test_a_prompt_whose_embedding_is_no_number_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "broken.pt"
    torch.save({**clip_state(), "text_projection": torch.full((32, 64), float("inf"))}, path)
    metric = ClipScore(model="builtin:mini-untrained", weights=str(path), device="cpu")
    metric.open(shared())

    (score,) = metric.score([scored()])

    assert (score.status, score.value) == ("failed", None)
    assert "prompt" in score.reason


@pytest.mark.parametrize("size", [(64, 64), (100, 80), (768, 1360), (1024, 1024), (40, 30)])
def test_preprocessing_is_what_pillow_does(encoder: ClipEncoder, size: tuple[int, int]) -> None:
    """Resized with smoothing from bytes, not from floating-point numbers, and cut to the centred square."""
    image = picture(*size)
    scale = 64 / min(size)
    resized = image.resize((int(size[0] * scale), int(size[1] * scale)), Image.Resampling.BICUBIC)
    left, top = (round((side - 64) / 2) for side in resized.size)
    expected = np.asarray(resized.crop((left, top, left + 64, top + 64)), dtype=float) / 255
    mean, std = (np.array(encoder.identity["preprocessing"][part]) for part in ("mean", "std"))

    pixels = encoder._prepare(image).permute(1, 2, 0).numpy() * std + mean

    assert np.abs(pixels - expected).max() <= 1 / 255 + 1e-6


def test_pictures_that_are_not_rgb_are_refused(encoder: ClipEncoder) -> None:
    (reason,) = encoder.embed([("", Image.new("L", (64, 64)))], batch_size=1)

    assert "RGB" in str(reason)


@pytest.mark.parametrize("name", ["clip.safetensors", "clip.pt", "half.safetensors", "module.pt"])
def test_the_loaded_model_is_the_file_to_the_last_bit(tmp_path: Path, name: str) -> None:
    """Nothing of the model is left uninitialised, half precision is widened, and names of parallel training go."""
    state, path = clip_state(), tmp_path / name
    if name.startswith("half"):
        from safetensors.torch import save_file

        state = {key: value.half().contiguous() for key, value in state.items()}
        save_file(state, path)
    elif name.startswith("module"):
        torch.save({f"module.{key}": value for key, value in state.items()}, path)
    else:
        path = open_clip_file(tmp_path, name)

    loaded = open_clip_encoder(
        shared(), model="builtin:mini-untrained", weights=str(path), untrained=False, device="cpu"
    )

    own = loaded._model.state_dict()
    assert {key: value.dtype for key, value in own.items()} == dict.fromkeys(own, torch.float32)
    assert all(torch.equal(own[key], value.float()) for key, value in state.items())
    assert own.keys() == state.keys()
    assert not loaded._model.training


def test_random_weights_of_any_architecture_are_always_the_same_and_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", random_clip.CONFIG)
    loaded = []
    for seed in (3, 4):
        torch.manual_seed(seed)  # the caller's generator decides nothing
        loaded.append(open_clip_encoder(shared(), model="tiny", weights="random", untrained=True, device="cpu"))

    first, second = (one.embed([("", picture(64, 64))], batch_size=1)[0] for one in loaded)

    assert isinstance(first, torch.Tensor)
    assert isinstance(second, torch.Tensor)
    assert torch.equal(first, second)
    assert loaded[0].identity == loaded[1].identity
    assert loaded[0].identity["untrained"] is True


def hub_file(cache: Path, repository: str, name: str) -> Path:
    """A file as the Hub's cache keeps it."""
    folder = cache / f"models--{repository.replace('/', REPO_ID_SEPARATOR)}"
    path = folder / "snapshots" / ("0" * 40) / name
    path.parent.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    return path


@pytest.fixture
def tagged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The cache of the Hub, for `tiny` with tag `ours`."""
    tag = {"hf_hub": "someone/tiny-clip/", "mean": (0.5, 0.5, 0.5)}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", random_clip.CONFIG)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", {"ours": tag})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("kreabench.metrics.clip_weights.unreachable", lambda address: None)  # what fetches is replaced
    return tmp_path


@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
def test_a_tag_is_found_in_the_cache_of_the_hub_and_loaded(tagged: Path, name: str) -> None:
    need = ClipWeightsNeed(model="tiny", weights="ours")
    missing = need.problem(os.environ)
    open_clip_file(hub_file(tagged, "someone/tiny-clip", name).parent, name)

    metric = ClipScore(model="tiny", weights="ours", device="cpu")
    identity = metric.open(shared())

    assert missing is not None
    assert "someone/tiny-clip" in missing.expected
    assert need.fetchable
    assert need.problem(os.environ) is None
    assert identity["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    assert metric.score([scored()])[0].status == "ok"


def test_fetching_a_tag_says_so_and_leaves_it_where_opening_looks(
    tagged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    path = hub_file(tagged, "someone/tiny-clip", "open_clip_model.safetensors")
    monkeypatch.setattr(open_clip, "download_pretrained", lambda _: open_clip_file(path.parent, path.name))
    need = ClipWeightsNeed(model="tiny", weights="ours")

    for variable in ("HF_HUB_OFFLINE", "KREABENCH_OFFLINE"):
        with pytest.raises(EnvironmentProblem, match=f"not here while {variable} is set. .* Unset {variable}"):
            need.fetch({variable: "1"}, said.append)
    need.fetch({}, said.append)
    need.fetch({}, said.append)

    assert said == ["fetching the weights of CLIP tiny (ours)"]
    assert need.problem(os.environ) is None


def test_a_fetch_that_fails_is_a_problem_in_words(tagged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(_: object) -> str:
        raise FileNotFoundError("Failed to download file\nConnection refused")

    monkeypatch.setattr(open_clip, "download_pretrained", no_network)

    with pytest.raises(EnvironmentProblem, match="Failed to download file"):
        ClipWeightsNeed(model="tiny", weights="ours").fetch({}, lambda _: None)


def test_a_file_that_is_missing_cannot_be_fetched(tmp_path: Path) -> None:
    need = ClipWeightsNeed(model="builtin:mini-untrained", weights=str(tmp_path / "missing.pt"))

    assert not need.fetchable
    with pytest.raises(EnvironmentProblem, match=r"missing\.pt"):
        need.fetch(os.environ, lambda _: None)


def test_weights_may_be_a_folder_in_open_clips_layout(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    path = open_clip_file(tmp_path, "open_clip_model.safetensors")
    empty = ClipWeightsNeed(model="builtin:mini-untrained", weights=str(tmp_path / "empty")).problem(os.environ)

    assert ClipWeightsNeed(model="builtin:mini-untrained", weights=str(tmp_path)).locate(os.environ).path == path
    assert empty is not None
    assert "a folder without weights" in empty.found


def test_a_repository_of_the_hub_gives_weights_and_what_it_says_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = open_clip_file(tmp_path, "open_clip_model.safetensors")
    said = {"preprocess_cfg": {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.5]}}
    service = HubService()
    files = {path.name: path.read_bytes(), "open_clip_config.json": json.dumps(said).encode(), "README.md": b"-"}
    commit = service.put("someone/tiny-clip", files)
    metric = ClipScore(model="builtin:mini-untrained", weights=f"hub:someone/tiny-clip@{commit}", device="cpu")
    (need,) = metric.needs
    try:
        with use_hub(service, monkeypatch, tmp_path / "hub"):
            missing = need.problem(os.environ)
            need.fetch(os.environ, lambda _: None)
            identity = metric.open(shared())
    finally:
        service.stop()

    assert missing is not None
    assert need.fetchable
    assert identity["preprocessing"]["mean"] == [0.1, 0.2, 0.3]
    assert metric.score([scored()])[0].status == "ok"
    assert service.sent("README.md") == 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("clip_score", "clip_score"),
        ("mini_clip_score", "clip_score"),
        ("clip_iqa_quality", "clip_iqa"),
        ("clip_iqa_skin", "clip_iqa"),
        ("aesthetic", "aesthetic"),
        ("mini_aesthetic", "aesthetic"),
        ("pickscore", "pickscore"),
        ("hpsv2", "hpsv2"),
    ],
)
def test_shipped_files_name_a_metric_with_options_that_it_takes(name: str, kind: str) -> None:
    (spec,) = load_metrics([name])

    assert spec.kind == kind
    assert metric_class(kind)(**spec.options).needs


@pytest.mark.parametrize(
    ("name", "rows"), [("visual.positional_embedding", 50), ("positional_embedding", 33), ("ln_final.weight", 31)]
)
def test_weights_of_another_size_are_refused_and_not_stretched(tmp_path: Path, name: str, rows: int) -> None:
    state = clip_state()
    path = tmp_path / "other.pt"
    torch.save({**state, name: torch.ones(rows, *state[name].shape[1:])}, path)

    with pytest.raises(EnvironmentProblem, match=r"position embeddings|size mismatch"):
        open_clip_encoder(shared(), model="builtin:mini-untrained", weights=str(path), untrained=False, device="cpu")


def test_a_folder_says_how_its_pictures_are_prepared(tmp_path: Path) -> None:
    open_clip_file(tmp_path, "open_clip_model.safetensors")
    options: dict[str, Any] = {
        "model": "builtin:mini-untrained",
        "weights": str(tmp_path),
        "untrained": False,
        "device": "cpu",
    }
    plain = open_clip_encoder(shared(), **options)
    said = {"size": 99, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "resize_mode": "squash"}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {}, "preprocess_cfg": said}))
    described = open_clip_encoder(shared(), **options)
    by_name = open_clip_encoder(shared(), **{**options, "weights": str(tmp_path / "open_clip_model.safetensors")})

    assert by_name.identity == described.identity
    assert plain.identity["preprocessing"]["resize_mode"] == "shortest"
    assert described.identity["preprocessing"] == {**plain.identity["preprocessing"], **said, "size": [64, 64]}
    grey = described._prepare(Image.new("RGB", (64, 64), (255, 255, 255)))
    assert torch.allclose(grey, torch.full((3, 64, 64), 2.0))


def test_a_folder_of_another_activation_or_damaged_is_refused(tmp_path: Path) -> None:
    open_clip_file(tmp_path, "open_clip_model.safetensors")
    need = ClipWeightsNeed(model="builtin:mini-untrained", weights=str(tmp_path))
    config = tmp_path / "open_clip_config.json"

    config.write_text(json.dumps({"model_cfg": {"quick_gelu": True}}))
    wrong = need.problem(os.environ)
    assert wrong is not None
    assert "trained with QuickGELU" in wrong.found
    for damaged in ("{", "[]", '{"preprocess_cfg": 3}'):
        config.write_text(damaged)
        problem = need.problem(os.environ)
        assert problem is not None
        assert "open_clip_config.json" in problem.found
