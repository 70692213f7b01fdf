"""The safety checker, with a tiny classifier of the published one's kind: it marks pictures after the clock stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kreabench.backends.local_diffusers import DiffusersBackend
from kreabench.backends.safety import SafetyChecker, open_safety_checker, safety_problems
from kreabench.core.errors import EnvironmentProblem, GenerationError
from kreabench.core.records import Timings
from kreabench.execution.messages import Delivery
from tests.support import make_acceleration, make_request, make_setting

MakeTarget = Callable[..., Any]


def save_classifier(folder: Path, labels: tuple[str, str] = ("normal", "nsfw")) -> Path:
    """A ViT of one layer that tells white pictures (the second label) from black ones (the first).

    Its patches are their mean brightness, as +x and -x; attention without weights averages them into the class token.
    """
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    config = ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        image_size=16,
        patch_size=8,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    model = ViTForImageClassification(config)
    identities = ("value.weight", "v_proj.weight", "output.dense.weight", "o_proj.weight")
    with torch.no_grad():
        for name, values in model.named_parameters():
            values.zero_()
            if "layernorm" in name and name.endswith("weight"):
                values.fill_(1.0)
            elif name.endswith(identities):
                values.copy_(torch.eye(8))
            elif name.endswith("projection.weight"):
                values[0], values[1] = 1 / values[0].numel(), -1 / values[1].numel()
            elif name == "classifier.weight":
                values[1, 0], values[1, 1] = 2.0, -2.0
    model.save_pretrained(folder, safe_serialization=True)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("classifier") / "tiny")


def white_and_black() -> list[Image.Image]:
    return [Image.new("RGB", (64, 48), colour) for colour in ("white", "black")]


def test_pictures_are_told_apart_and_the_time_is_kept(mini_target: MakeTarget, classifier: Path) -> None:
    target = mini_target(options={"safety_checker": str(classifier)})
    assert safety_problems(target) == []
    checker = open_safety_checker(target)
    assert checker is not None
    verdict = checker.look(white_and_black())
    assert verdict.flagged == (True, False)
    assert verdict.seconds > 0
    assert checker.identity["model"] == "tiny"
    assert checker.identity["threshold"] == 0.85
    assert len(checker.identity["weights_sha256"]) == 64


def test_the_threshold_is_reached_by_equality() -> None:
    def classify(pictures: list[Image.Image], top_k: None) -> list[list[dict[str, Any]]]:
        return [[{"label": "normal", "score": 1 - p}, {"label": "nsfw", "score": p}] for p in (0.85, 0.849, 1.0)]

    checker = SafetyChecker(classify, 0.85, {})
    assert checker.look([Image.new("L", (8, 8))] * 3).flagged == (True, False, True)


def test_none_is_asked_for_by_default(mini_target: MakeTarget) -> None:
    assert open_safety_checker(mini_target()) is None
    assert safety_problems(mini_target()) == []


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({"safety_checker": "/no/such/folder"}, "safety_checker", "a folder with an image classifier"),
        ({"safety_checker": "~no-such-user/x"}, "safety_checker", "a folder with an image classifier"),
        ({"safety_checker": "Falconsai/nsfw_image_detection"}, "safety_checker", "hf download Falconsai/nsfw"),
        ({"safety_threshold": 0.0}, "safety_threshold", "at most 1"),
        ({"safety_threshold": 1.5}, "safety_threshold", "found 1.5"),
    ],
)
def test_what_is_wrong_is_found_before_loading(
    mini_target: MakeTarget, options: dict[str, Any], key: str, words: str
) -> None:
    (problem,) = DiffusersBackend.check(mini_target(options=options), [])
    assert problem.key == f"target.mini_local.options.{key}"
    assert words in str(problem)


def test_a_classifier_of_something_else_is_refused(mini_target: MakeTarget, tmp_path: Path) -> None:
    folder = save_classifier(tmp_path / "pets", ("cat", "dog"))
    with pytest.raises(EnvironmentProblem, match=r"which tells cat, dog; expected .* label nsfw"):
        open_safety_checker(mini_target(options={"safety_checker": str(folder)}))


def test_a_damaged_one_is_a_failed_load_that_names_it(mini_target: MakeTarget, classifier: Path) -> None:
    import shutil

    damaged = Path(shutil.copytree(classifier, classifier.parent / "damaged"))
    (damaged / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(GenerationError, match=r"damaged could not be loaded") as caught:
        open_safety_checker(mini_target(options={"safety_checker": str(damaged)}))
    assert caught.value.stage == "load"


def test_samples_carry_the_flag_and_its_time_outside_the_timings(mini_target: MakeTarget, classifier: Path) -> None:
    backend = DiffusersBackend()
    target = mini_target(options={"safety_checker": str(classifier), "safety_threshold": 1e-9})
    identity = backend.open(target, [make_acceleration()], [make_setting()])
    setting = make_setting(num_images=2, steps=1, width=64, height=64)
    generation = backend.generate(setting, make_request(setting))
    backend.close()
    assert [image.nsfw for image in generation.images] == [True, True]
    assert generation.safety_check_s is not None
    assert generation.safety_check_s > 0
    timings: Timings = generation.timings
    assert sum(timings.stages_s.values()) + timings.residual_s == pytest.approx(timings.end_to_end_s)
    assert identity["safety_checker"]["threshold"] == 1e-9


def test_without_one_nobody_looked(mini_backend: Any) -> None:
    setting = make_setting(steps=1, width=64, height=64)
    generation = mini_backend.generate(setting, make_request(setting))
    assert generation.images[0].nsfw is None
    assert generation.safety_check_s is None
    assert Delivery.__dataclass_fields__["safety_check_s"].default is None
