"""CLIP score: equal to what open_clip and torchmetrics compute, and no silent mistake about weights."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import open_clip
import pytest
import torch
from PIL import Image
from torchmetrics.functional.multimodal.clip_score import _clip_score_update
from torchmetrics.multimodal import CLIPScore
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from kreabench.core.errors import EnvironmentProblem, Problem
from kreabench.metrics import random_clip
from kreabench.metrics.base import Score, ScoreItem
from kreabench.metrics.clip_score import ClipScore, ClipScoreOptions
from tests.metric_support import shared
from tests.support import picture

OTHER_READERS = ("ViT-B-16-SigLIP", "xlm-roberta-base-ViT-B-32")

PROMPTS = (
    "a photograph of 3 red bicycles",
    "portrait of an old sailor, natural skin texture",
    "ein Café am Abend — 雨の夜",
    "",
)
LONG_PROMPT = "a very detailed picture of a street at night, with rain and neon signs, " * 10


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature's weights as a local file."""
    return random_clip.weights_file(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def metric(weights: Path) -> Iterator[ClipScore]:
    """Opened; two pictures a batch, so that batches are cut."""
    torch.set_num_threads(1)
    metric = ClipScore(model="builtin:mini-untrained", weights=str(weights), device="cpu", batch_size=2)
    metric.open(shared())
    yield metric
    metric.close()


def item(prompt: str, image: Image.Image | None = None) -> ScoreItem:
    return ScoreItem(image=image or picture(96, 64), prompt=prompt, reference=None)


def problem_of(**options: Any) -> Problem:
    """The problem that keeps a metric with `options` from opening."""
    with pytest.raises(EnvironmentProblem) as caught:
        ClipScore(**options).open(shared())
    (problem,) = caught.value.problems
    return problem


def direct_score(model: Any, preprocess: Any, item: ScoreItem) -> float:
    with torch.no_grad():
        image = model.encode_image(preprocess(item.image)[None])[0]
        text = model.encode_text(open_clip.tokenize([item.prompt]))[0]
    return max(100.0 * float(torch.dot(image, text) / image.norm() / text.norm()), 0.0)


class Adapter(torch.nn.Module):
    """open_clip's model with the methods that torchmetrics calls."""

    def __init__(self, clip: Any, context: int | None) -> None:
        super().__init__()
        self._clip = clip
        limits = SimpleNamespace(max_position_embeddings=context)
        self.config = SimpleNamespace(text_config=limits) if context else SimpleNamespace()

    def get_image_features(self, pixels: torch.Tensor) -> Any:
        return self._clip.encode_image(pixels)

    def get_text_features(self, tokens: torch.Tensor, _: torch.Tensor) -> Any:
        return self._clip.encode_text(tokens)


def torchmetrics_model(weights: Path, context: int | None = None) -> tuple[Any, Any]:
    """What `CLIPScore` takes: a model and a processor. With `context` it cuts prompts itself, as with transformers'."""
    clip, preprocess = open_clip.create_model_from_pretrained(random_clip.NAME, pretrained=str(weights))
    tokenizer = open_clip.get_tokenizer(random_clip.NAME)

    def tokens(prompt: str) -> torch.Tensor:
        if not context:
            return torch.as_tensor(tokenizer(prompt)[0])
        return torch.tensor([tokenizer.sot_token_id, *tokenizer.encode(prompt), tokenizer.eot_token_id])

    def processor(text: list[str] | None = None, images: list[torch.Tensor] | None = None, **_: Any) -> Any:
        if images is not None:
            return {"pixel_values": torch.stack([preprocess(to_pil_image(image)) for image in images])}
        rows = torch.nn.utils.rnn.pad_sequence([tokens(prompt) for prompt in text or []], batch_first=True)
        return {"input_ids": rows, "attention_mask": torch.ones_like(rows)}

    return Adapter(clip.eval(), context), processor


@torch.no_grad()
def unclamped(
    images: list[torch.Tensor], prompts: list[str], weights: Path, context: int | None = None
) -> list[torch.Tensor]:
    """What torchmetrics computes before it takes the mean."""
    model, processor = torchmetrics_model(weights, context)
    scores, _ = _clip_score_update(images, prompts, model, processor)
    return list(scores)


def items() -> list[ScoreItem]:
    """Several sizes, and every prompt twice with other pictures between."""
    sizes = ((96, 64), (64, 64), (200, 70))
    return [
        item(prompt, picture(*size, seed=seed)) for seed, size in enumerate(sizes) for prompt in (*PROMPTS, LONG_PROMPT)
    ]


def test_scores_equal_a_direct_computation(metric: ClipScore, weights: Path) -> None:
    model, preprocess = open_clip.create_model_from_pretrained(random_clip.NAME, pretrained=str(weights))
    expected = [direct_score(model.eval(), preprocess, item) for item in items()]

    scores = metric.score(items())

    assert [score.status for score in scores] == ["ok"] * len(expected)
    assert [score.value for score in scores] == pytest.approx(expected, abs=1e-4)
    assert max(expected) - min(expected) > 1.0  # else equality would show nothing


def test_scores_equal_those_of_torchmetrics_picture_by_picture(metric: ClipScore, weights: Path) -> None:
    """Its class gives only the mean of what it was shown, and takes no model of today's transformers: so it is fed with
    open_clip, and shown one pair at a time."""
    pairs = items()
    theirs = CLIPScore(model_name_or_path=lambda: torchmetrics_model(weights))
    expected = []
    for pair in pairs:
        theirs.reset()
        theirs.update(pil_to_tensor(pair.image), pair.prompt)
        expected.append(float(theirs.compute()))

    scores = [score.value or 0.0 for score in metric.score(pairs)]

    assert scores == pytest.approx(expected, abs=1e-4)


def test_scores_below_zero_are_zero_as_in_torchmetrics_but_each_on_its_own(metric: ClipScore, weights: Path) -> None:
    """torchmetrics takes the mean first and cuts it off at 0 after: then one bad picture pulls others down."""
    pairs = items()
    images = [pil_to_tensor(pair.image) for pair in pairs]
    theirs = CLIPScore(model_name_or_path=lambda: torchmetrics_model(weights))
    theirs.update(images, [pair.prompt for pair in pairs])
    raw = [float(value) for value in unclamped(images, [pair.prompt for pair in pairs], weights)]

    scores = [score.value or 0.0 for score in metric.score(pairs)]

    assert min(raw) < 0 < max(raw)
    assert scores == pytest.approx([max(value, 0.0) for value in raw], abs=1e-4)
    assert float(theirs.compute()) == pytest.approx(max(sum(raw) / len(raw), 0.0), abs=1e-4)


@pytest.mark.filterwarnings("ignore:Encountered caption longer")
def test_long_prompts_differ_where_torchmetrics_gives_them_one_score(metric: ClipScore, weights: Path) -> None:
    """Fed with tokens as transformers gives them, it cuts off the end token, where CLIP reads the text."""
    prompts = [LONG_PROMPT, "dog " * 90]
    pairs = [[item(prompt, picture(64, 64, seed=seed)) for seed in range(6)] for prompt in prompts]
    images = [pil_to_tensor(pair.image) for pair in pairs[0]]
    theirs = [torch.stack(unclamped(images, [prompt] * 6, weights, context=77)) for prompt in prompts]

    first, second = (metric.score(one) for one in pairs)

    assert torch.allclose(theirs[0], theirs[1], atol=1e-4)
    assert [score.value for score in first] != pytest.approx([score.value for score in second], abs=1e-2)
    assert {score.truncated for score in (*first, *second)} == {True}


def test_a_score_does_not_depend_on_its_neighbours(metric: ClipScore) -> None:
    together = metric.score(items())
    alone = [metric.score([item])[0] for item in reversed(items())][::-1]

    assert [score.value for score in together] == pytest.approx([score.value for score in alone], abs=1e-4)


def test_a_prompt_that_is_cut_is_flagged(metric: ClipScore) -> None:
    fitting = "dog " * 75  # one token each, and two for start and end: 77

    flags = [score.truncated for score in metric.score([item("a dog"), item(fitting), item(fitting + "dog")])]

    assert flags == [False, False, True]


def test_a_long_prompt_keeps_its_end_token(metric: ClipScore) -> None:
    """CLIP reads the text at its end token; without it all long prompts score alike."""
    tokens = open_clip.get_tokenizer(random_clip.NAME)([LONG_PROMPT])[0]
    other = "an empty white room without any furniture in it, seen from above. " * 10

    first, second = metric.score([item(LONG_PROMPT), item(other)])

    assert tokens[-1] == tokens.max() == open_clip.SimpleTokenizer().eot_token_id
    assert first.value != pytest.approx(second.value, abs=1e-3)


def test_one_bad_item_costs_no_other_its_score(metric: ClipScore) -> None:
    broken = item("a dog", Image.new("RGB", (0, 0)))

    scores = metric.score([item("a dog"), broken, item("a dog")])

    assert [score.status for score in scores] == ["ok", "failed", "ok"]
    assert scores[1].reason
    assert scores[0].value == pytest.approx(scores[2].value, abs=1e-4)


def test_random_weights_are_flagged_and_always_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identities: list[dict[str, Any]] = []
    values: list[list[Score]] = []
    for name in ("one", "two"):
        monkeypatch.setenv("KREABENCH_CACHE", str(tmp_path / name))
        metric = ClipScore(model="builtin:mini-untrained", weights="random", untrained=True, device="cpu")
        torch.manual_seed(len(values))  # the caller's generator decides nothing
        identities.append(metric.open(shared()))
        values.append(metric.score([item(prompt) for prompt in PROMPTS]))

    assert identities[0]["untrained"] is True
    assert identities[0] == identities[1]
    assert values[0] == values[1]
    assert any(score.value for score in values[0])


def test_random_weights_are_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KREABENCH_CACHE", str(tmp_path))
    ClipScore(model="builtin:mini-untrained", weights="random", untrained=True, device="cpu").open(shared())
    (file,) = tmp_path.rglob("*.*")
    before = file.stat().st_mtime_ns

    ClipScore(model="builtin:mini-untrained", weights="random", untrained=True, device="cpu").open(shared())

    assert file.stat().st_mtime_ns == before


def test_drawing_random_weights_leaves_the_callers_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)

    random_clip.weights_file(tmp_path)

    assert torch.rand(1) == expected


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KREABENCH_CACHE", str(tmp_path / "file" / "cache"))

    problem = problem_of(model="builtin:mini-untrained", weights="random", untrained=True, device="cpu")

    assert problem.key == "KREABENCH_CACHE"
    assert str(tmp_path / "file" / "cache") in problem.found


def test_the_identity_is_of_the_weights_not_of_their_place(tmp_path: Path, weights: Path) -> None:
    def identity(path: Path, **options: Any) -> dict[str, Any]:
        return ClipScore(model="builtin:mini-untrained", weights=str(path), device="cpu", **options).open(shared())

    moved = tmp_path / "elsewhere.safetensors"
    shutil.copy(weights, moved)
    as_pickle, changed = tmp_path / "weights.pt", tmp_path / "changed.pt"
    state = open_clip.create_model(random_clip.NAME, pretrained=str(weights)).state_dict()
    torch.save(state, as_pickle)
    torch.save({name: tensor * 1.5 for name, tensor in state.items()}, changed)

    assert identity(moved) == identity(weights) == identity(weights, batch_size=1)
    assert identity(weights)["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert identity(weights)["untrained"] is False
    assert identity(changed) != identity(as_pickle)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weights": "random", "model": "ViT-B-32"}, "untrained"),
        ({"weights": "random", "model": "builtin:mini-untrained"}, "untrained"),
        ({"weights": ""}, "weights"),
        ({"device": "gpu"}, "device"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_options_that_no_machine_can_fulfil(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ClipScoreOptions(**options)


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.safetensors")

    problem = problem_of(model="ViT-B-32-quickgelu", weights=missing, device="cpu")

    assert problem.key == "options.weights"
    assert missing in problem.found
    assert "openai" in problem.expected
    assert ".safetensors" in problem.expected
    assert "doctor --fetch metrics" in problem.remedy


def test_opening_sends_nothing_and_says_what_to_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_clip, "download_pretrained", lambda *_: pytest.fail("asked the network"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/nowhere")

    problem = problem_of(model="ViT-B-32-quickgelu", weights="openai", device="cpu")

    assert problem.key == "options.weights"
    assert "'openai'" in problem.found
    assert "timm/vit_base_patch32_clip_224.openai" in problem.expected
    assert "doctor --fetch metrics" in problem.remedy


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"PK\x03\x04 cut short"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_weights(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)

    problem = problem_of(model="builtin:mini-untrained", weights=str(path), device="cpu")

    assert problem.key == "options.weights"
    assert str(path) in problem.found


def test_weights_of_another_model(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save({"visual.proj": torch.zeros(3, 3), "logit_scale": torch.zeros(())}, path)

    problem = problem_of(model="builtin:mini-untrained", weights=str(path), device="cpu")

    assert "RuntimeError" in problem.found
    assert random_clip.NAME in problem.expected


def test_weights_never_run_code(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "owned",)

    path = tmp_path / "payload.pt"
    torch.save({"state_dict": Payload()}, path)

    problem_of(model="builtin:mini-untrained", weights=str(path), device="cpu")

    assert not (tmp_path / "owned").exists()


def test_an_unknown_architecture_names_the_nearest() -> None:
    problem = problem_of(model="ViT-L-14-quikgelu", weights="openai", device="cpu")

    assert problem.key == "options.model"
    assert "ViT-L-14-quickgelu" in problem.expected


@pytest.mark.parametrize("model", ["hf-hub:org/model", "local-dir:/models/clip"])
def test_models_with_which_open_clip_would_ignore_the_weights(model: str) -> None:
    assert problem_of(model=model, weights="openai", device="cpu").key == "options.model"


def test_architectures_that_do_not_read_prompts_as_clip_does() -> None:
    own, elsewhere = (problem_of(model=name, weights="webli", device="cpu") for name in OTHER_READERS)

    assert (own.key, "hub:timm/ViT-B-16-SigLIP@REVISION" in own.expected) == ("options.tokenizer", True)
    assert (elsewhere.key, "text model" in elsewhere.found) == ("options.model", True)


def test_a_cuda_device_that_is_not_there() -> None:
    problem = problem_of(model="builtin:mini-untrained", weights="random", untrained=True, device="cuda:99")

    assert problem.key == "options.device"
    assert "cuda:99" in problem.found


@pytest.mark.parametrize(
    "name",
    ["ViT-B-32-openai.pt", "models--timm--vit_base_patch32_clip_224.openai/snapshots/1/open_clip_model.safetensors"],
)
def test_openai_weights_need_quickgelu_by_name(tmp_path: Path, weights: Path, name: str) -> None:
    """open_clip would load them into a model with another activation without a word."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(weights, path)

    problem = problem_of(model="ViT-B-32", weights=str(path), device="cpu")

    assert problem.key == "options.model"
    assert problem.expected == "'ViT-B-32-quickgelu'"


def test_openai_weights_need_quickgelu_by_hash(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    monkeypatch.setattr(open_clip, "get_pretrained_url", lambda *_: f"https://openaipublic.x/clip/models/{digest}/a.pt")

    problem = problem_of(model="ViT-B-32", weights=str(weights), device="cpu")

    assert problem.key == "options.model"
    assert "hash" in problem.found


@pytest.mark.parametrize(
    ("trained_with_quick_gelu", "architecture_has_it", "accepted"),
    [(True, True, True), (False, False, True), (True, False, False), (False, True, False)],
)
def test_a_tag_must_fit_the_activation(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trained_with_quick_gelu: bool,
    architecture_has_it: bool,
    accepted: bool,
) -> None:
    model = "tiny-quickgelu" if architecture_has_it else "tiny"
    config = {**random_clip.CONFIG, "quick_gelu": architecture_has_it}
    path = tmp_path / "weights.pt"
    torch.save(open_clip.CLIP(**config).state_dict(), path)
    tag = {"file": str(path), "quick_gelu": trained_with_quick_gelu, "mean": (0.5, 0.5, 0.5)}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, model, config)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, model, {"test_tag": tag})

    if accepted:
        identity = ClipScore(model=model, weights="test_tag", device="cpu").open(shared())
        assert identity["quick_gelu"] is architecture_has_it
        assert identity["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    else:
        assert problem_of(model=model, weights="test_tag", device="cpu").key == "options.model"


def test_parts_that_only_training_uses_are_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patch dropout, in some architectures, leaves out random parts of the picture."""
    config = {**random_clip.CONFIG, "vision_cfg": {**random_clip.CONFIG["vision_cfg"], "patch_dropout": 0.5}}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny-dropout", config)
    path = tmp_path / "weights.pt"
    torch.save(open_clip.CLIP(**config).state_dict(), path)
    metric = ClipScore(model="tiny-dropout", weights=str(path), device="cpu")
    metric.open(shared())

    assert metric.score(items()) == metric.score(items())


def test_scoring_before_opening_is_a_mistake_in_the_program() -> None:
    with pytest.raises(RuntimeError, match="open"):
        ClipScore().score([item("a dog")])
