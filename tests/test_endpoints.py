"""Hosted endpoints as data: what the shipped files say, what follows from it, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from kreabench.config.resolve import load
from kreabench.core.endpoint_inputs import reject_value
from kreabench.core.errors import ConfigError
from kreabench.core.specs import InputField, TargetSpec
from kreabench.plan_build import build_plan

PRESETS = ("square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9")
LEVELS = ("none", "regular", "high")
FORMATS = ("jpeg", "png")

# (type, default, minimum, maximum, values), copied by hand from the service's API pages, not from conf/.
PROMPT = ("string", None, None, None, None)
SEED = ("integer", None, None, None, None)
SIZE = ("image_size", "landscape_4_3", None, None, PRESETS)
SYNC = ("boolean", False, None, None, None)
SAFETY = ("boolean", True, None, None, None)
PICTURE = ("image_url", None, None, None, None)
FORMAT = ("string", "jpeg", None, None, FORMATS)


def steps(default: int, low: int, high: int) -> tuple[Any, ...]:
    return ("integer", default, low, high, None)


def guidance(default: float, low: float, high: float) -> tuple[Any, ...]:
    return ("number", default, low, high, None)


FLUX_1 = {
    "prompt": PROMPT,
    "image_size": SIZE,
    "num_inference_steps": steps(28, 1, 50),
    "seed": SEED,
    "guidance_scale": guidance(4.5, 1, 20),
    "sync_mode": SYNC,
    "num_images": ("integer", 1, 1, 4, None),
    "enable_safety_checker": SAFETY,
    "output_format": FORMAT,
    "acceleration": ("string", "none", None, None, LEVELS),
}
FLUX_2 = {
    "prompt": PROMPT,
    "image_size": SIZE,
    "seed": SEED,
    "safety_tolerance": ("string", "2", None, None, ("1", "2", "3", "4", "5")),
    "enable_safety_checker": SAFETY,
    "output_format": FORMAT,
    "sync_mode": SYNC,
}
PAGES: dict[str, tuple[str, str, dict[str, tuple[Any, ...]]]] = {
    "krea_fal": ("fal-ai/flux/krea", "text-to-image", FLUX_1),
    "krea_fal_image_to_image": (
        "fal-ai/flux/krea/image-to-image",
        "image-to-image",
        {name: value for name, value in FLUX_1.items() if name != "image_size"}
        | {
            "image_url": PICTURE,
            "strength": ("number", 0.95, 0.01, 1, None),
            "num_inference_steps": steps(40, 10, 50),
        },
    ),
    "krea_fal_redux": (
        "fal-ai/flux/krea/redux",
        "redux",
        {name: value for name, value in FLUX_1.items() if name != "prompt"} | {"image_url": PICTURE},
    ),
    "dev_fal": ("fal-ai/flux/dev", "text-to-image", FLUX_1 | {"guidance_scale": guidance(3.5, 1, 20)}),
    "srpo_fal": ("fal-ai/flux/srpo", "text-to-image", FLUX_1),
    "flux2_pro_fal": ("fal-ai/flux-2-pro", "text-to-image", FLUX_2),
    "flux2_flex_fal": (
        "fal-ai/flux-2-flex",
        "text-to-image",
        FLUX_2 | {"num_inference_steps": steps(28, 2, 50), "guidance_scale": guidance(3.5, 1.5, 10)},
    ),
}
REQUIRED = {"prompt", "image_url"}


def target(*overrides: str) -> TargetSpec:
    return load(["prompts=drawn", *overrides]).experiment.targets[0]


def problems(*overrides: str) -> dict[str, str]:
    """Key → the problem's text."""
    with pytest.raises(ConfigError) as caught:
        load(overrides)
    return {problem.key: str(problem) for problem in caught.value.problems}


@pytest.mark.parametrize("name", PAGES)
def test_the_shipped_files_say_what_the_api_pages_say(name: str) -> None:
    endpoint, task, page = PAGES[name]
    spec = target(f"target=[{name}]")
    assert (spec.model, spec.task, spec.backend, spec.key_env) == (endpoint, task, "fal", "FAL_KEY")
    found = {
        parameter: (field.type, field.default, field.minimum, field.maximum, field.values)
        for parameter, field in spec.inputs.items()
    }
    assert found == page
    assert {parameter for parameter, field in spec.inputs.items() if field.required} == REQUIRED & page.keys()
    assert spec.price is not None


def test_limits_and_defaults_follow_from_the_inputs() -> None:
    spec = target("target=[krea_fal_image_to_image]")
    assert (spec.limits.steps, spec.limits.guidance, spec.limits.strength) == ((10, 50), (1.0, 20.0), (0.01, 1.0))
    assert (spec.limits.num_images, spec.limits.output_formats) == ((1, 4), ("png", "jpeg"))
    assert (spec.defaults.steps, spec.defaults.guidance, spec.defaults.strength) == (40, 4.5, 0.95)
    assert spec.accelerations == LEVELS


def test_what_an_endpoint_lacks_is_absent() -> None:
    spec = target("target=[flux2_pro_fal]")
    assert (spec.limits.steps, spec.limits.guidance, spec.limits.num_images) == (None, None, (1, 1))
    assert (spec.defaults.steps, spec.defaults.guidance, spec.defaults.size) == (None, None, "landscape_4_3")
    assert spec.accelerations == ()


def test_an_axis_that_an_endpoint_lacks_is_skipped_with_the_reason() -> None:
    asked = load(
        ["target=[krea_fal,flux2_pro_fal]", "acceleration=[none,high]", "axes.steps=[8]", "axes.guidance=[default]"]
    )
    plan = build_plan(asked.experiment)
    assert {setting.target for setting in plan.settings} == {"krea_fal"}
    assert {skip.reason for skip in plan.skipped} == {"flux2_pro_fal has no steps"}
    assert {skip.steps for skip in plan.skipped} == {8}


def test_an_acceleration_that_an_endpoint_lacks_is_skipped_with_the_reason() -> None:
    plan = build_plan(load(["target=[flux2_pro_fal,krea_fal]", "acceleration=[none,high]"]).experiment)
    assert [skip.reason for skip in plan.skipped] == ["flux2_pro_fal has no acceleration; high asks for high"]
    assert [(s.acceleration, s.steps, s.guidance) for s in plan.settings if s.target == "flux2_pro_fal"] == [
        ("none", None, None)
    ]


def test_a_value_that_no_chosen_target_takes_is_an_error() -> None:
    found = problems("target=[flux2_pro_fal]", "axes.steps=[8]", "axes.guidance=[3]", "axes.num_images=[2]")
    assert found.keys() == {"axes.steps", "axes.guidance", "axes.num_images"}
    assert "flux2_pro_fal has no steps" in found["axes.steps"]


def test_a_new_endpoint_needs_no_code() -> None:
    """Everything from the command line, as a file of one's own would have it."""
    inputs = (
        "{prompt: {type: string, required: true}, image_size: {type: image_size, default: square, values: [square], "
        "multiple_px: 8, min_side_px: 8, max_pixels: 1000000}, style: {type: string, required: true, values: [a, b]}}"
    )
    spec = target(
        "target=[flux2_pro_fal]",
        "~target.flux2_pro_fal.inputs",
        f"+target.flux2_pro_fal.inputs={inputs}",
        "target.flux2_pro_fal.parameters={style: a}",
        "target.flux2_pro_fal.model=fal-ai/new",
    )
    assert spec.parameters == {"style": "a"}
    assert spec.price is None
    assert (spec.limits.size_multiple, spec.limits.min_side_px) == (8, 8)


@pytest.mark.parametrize(
    ("override", "key", "expected"),
    [
        ("inputs.seed.type=number", "inputs.seed.type", "integer"),
        ("inputs.seed.kind=integer", "inputs.seed.kind", "one of default"),
        ("inputs.seed.type=text", "inputs.seed.type", "'string'"),
        ("inputs.num_images.minimum=5", "inputs.num_images.minimum", "at most maximum, 4"),
        ("inputs.num_images.default=7", "inputs.num_images.default", "a whole number from 1 to 4"),
        ("inputs.output_format.default=gif", "inputs.output_format.default", "one of jpeg, png"),
        ("inputs.prompt.minimum=1", "inputs.prompt.minimum", "only integer and number"),
        ("inputs.seed.multiple_px=8", "inputs.seed.multiple_px", "only image_size"),
        ("parameters.num_inference_steps=8", "parameters.num_inference_steps", "use axes.steps"),
        ("parameters.seed=8", "parameters.seed", "what the request itself brings"),
        ("parameters.enable_safety_checker=nope", "parameters.enable_safety_checker", "true or false"),
        ("parameters.enable_safty_checker=false", "parameters.enable_safty_checker", "did you mean enable_safety"),
        ("limits.steps=[1,60]", "limits.steps", "a range within 1 to 50"),
        ("limits.num_images=[1,8]", "limits.num_images", "a range within 1 to 4"),
        ("limits.size_multiple=8", "limits.size_multiple", "a multiple of 16"),
        ("limits.min_side_px=16", "limits.min_side_px", "at least 64"),
        ("limits.max_pixels=9999999", "limits.max_pixels", "at most 4194304"),
        ("accelerations=[none,extreme]", "accelerations", "of none, regular, high"),
        ("task=redux", "inputs", "image_url or image_urls"),
        ("inputs.image_url={type: image_url, required: true}", "task", "image-to-image or redux"),
        ("inputs.strength={type: number, default: 0.5, minimum: 0, maximum: 1}", "inputs.strength", "no strength"),
        ("inputs.guidance_scale.maximum=null", "limits.guidance", "no minimum and maximum"),
        ("inputs.num_inference_steps.default=null", "default.steps", "a value"),
        ("inputs=null", "inputs", "dictionary"),
    ],
)
def test_one_clear_message(override: str, key: str, expected: str) -> None:
    found = problems("target=[krea_fal]", f"target.krea_fal.{override}")
    assert list(found) == [f"target.krea_fal.{key}"]
    assert expected in found[f"target.krea_fal.{key}"]


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("limits.steps=[1,50]", "limits.steps"),
        ("default.steps=8", "default.steps"),
        ("accelerations=[none]", "accelerations"),
        ("limits.num_images=[1,2]", "limits.num_images"),
    ],
)
def test_nothing_can_be_said_of_an_input_that_is_not_there(override: str, key: str) -> None:
    assert list(problems("target=[flux2_pro_fal]", f"target.flux2_pro_fal.{override}")) == [
        f"target.flux2_pro_fal.{key}"
    ]


def test_a_narrower_limit_and_another_default_are_fine() -> None:
    spec = target("target=[krea_fal]", "target.krea_fal.limits.steps=[4,30]", "target.krea_fal.default.steps=8")
    assert (spec.limits.steps, spec.defaults.steps) == ((4, 30), 8)


def test_a_service_may_say_jpg() -> None:
    spec = target(
        "target=[krea_fal]",
        "target.krea_fal.inputs.output_format.values=[webp,jpg]",
        "target.krea_fal.inputs.output_format.default=jpg",
        "axes.output_format=[jpeg]",
    )
    assert spec.limits.output_formats == ("jpeg",)


def test_local_targets_keep_their_rules() -> None:
    found = problems("target=[krea_local]", "~target.krea_local.limits.steps", "~target.krea_local.default.guidance")
    assert found.keys() == {"target.krea_local.limits.steps", "target.krea_local.default.guidance"}
    found = problems("target=[krea_local]", "target.krea_local.inputs={prompt: {type: string}}")
    assert "no hosted service" in found["target.krea_local.inputs"]
    found = problems("target=[krea_fal]", "~target.krea_fal.inputs")
    assert "conf/target/krea_fal.yaml" in found["target.krea_fal.inputs"]


def test_the_value_of_an_unknown_parameter_is_not_repeated() -> None:
    found = problems("target=[krea_fal]", "target.krea_fal.parameters.api_key=sk-very-secret")
    assert "sk-very-secret" not in "".join(found.values())


def test_parameters_are_part_of_what_is_compared() -> None:
    def ids(*overrides: str) -> set[str]:
        return {s.id for s in build_plan(load(["target=[krea_fal]", *overrides]).experiment).settings}

    assert ids() != ids("target.krea_fal.parameters={enable_safety_checker: false}")
    assert ids() == ids("target.krea_fal.limits.steps=[1,40]")


def test_which_inputs_there_are_decides_what_is_sent_and_their_ranges_do_not() -> None:
    """Pictures drawn with and without a prompt must never be taken for the same request's."""

    def ids(*overrides: str) -> list[str]:
        plan = build_plan(load(["target=[krea_fal]", "acceleration=[none]", "metrics=[]", *overrides]).experiment)
        return [setting.id for setting in plan.settings]

    assert ids("~target.krea_fal.inputs.prompt") != ids()
    assert ids("target.krea_fal.inputs.num_inference_steps.maximum=40") == ids()


def test_numbers_that_are_none_are_refused_and_none_is_too_large_to_be_looked_at() -> None:
    number, whole = InputField(type="number"), InputField(type="integer", maximum=5)
    assert [reject_value(number, value) for value in (float("inf"), float("nan"), True, "1")] == ["a number"] * 4
    assert reject_value(number, 10**400) is None
    assert reject_value(whole, 10**400) == "a whole number to 5"
