"""What the configuration accepts, and how it says what it does not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from kreabench.config.compose import conf_dir, group_options
from kreabench.config.resolve import load, load_metrics
from kreabench.config.targets import Collector
from kreabench.core.errors import ConfigError
from kreabench.core.specs import Gpu, MachineSpec
from kreabench.plan_build import build_plan


def problems(*overrides: str) -> dict[str, str]:
    """Key → the problem's text."""
    with pytest.raises(ConfigError) as caught:
        load(overrides)
    return {problem.key: str(problem) for problem in caught.value.problems}


@pytest.mark.parametrize("name", group_options("experiment"))
def test_every_experiment_composes_and_plans(name: str) -> None:
    composed = load([f"experiment={name}"])
    plan = build_plan(composed.experiment)
    assert plan.request_count > 0
    assert composed.experiment.description


@pytest.mark.parametrize("name", group_options("target"))
def test_every_target_takes_its_own_defaults(name: str) -> None:
    plan = build_plan(load([f"target=[{name}]", "acceleration=[none]", "prompts=drawn"]).experiment)
    assert len(plan.settings) == 1
    assert not plan.skipped


def test_several_targets_land_under_their_own_names() -> None:
    composed = load(["target=[krea_local,krea_fal]", "target.krea_fal.model=fal-ai/flux/dev"])
    assert [target.name for target in composed.experiment.targets] == ["krea_local", "krea_fal"]
    assert composed.experiment.targets[1].model == "fal-ai/flux/dev"
    assert composed.experiment.targets[0].model == "black-forest-labs/FLUX.1-Krea-dev"


def test_all_errors_are_found_at_once_and_name_their_keys() -> None:
    found = problems("axes.stepz=[4]", "axes.steps=[four]", "run.warmup=-1", "engine.sample_timeout_s=soon")
    assert found.keys() == {"axes.stepz", "axes.steps.0", "run.warmup", "engine.sample_timeout_s"}
    assert "did you mean steps?" in found["axes.stepz"]
    assert "'four'" in found["axes.steps.0"]


def test_several_wrong_options_are_found_at_once() -> None:
    found = problems(
        "target=[krea_local,krea_fal]",
        "target.krea_local.options.dtyp=float32",
        "target.krea_fal.options.poll_interval_s=often",
        "metrics.psnr.kind=pnsr",
        "axes.size=[1024by768]",
        "prompts.file=nowhere.jsonl",
    )
    assert found.keys() == {
        "target.krea_local.options.dtyp",
        "target.krea_fal.options.poll_interval_s",
        "metrics.psnr.kind",
        "axes.size[0]",
        "prompts.file",
    }
    assert "did you mean dtype?" in found["target.krea_local.options.dtyp"]
    assert "did you mean psnr?" in found["metrics.psnr.kind"]
    assert "square_hd" in found["axes.size[0]"]
    assert "nowhere.jsonl" in found["prompts.file"]


@pytest.mark.parametrize(
    ("override", "key", "expected"),
    [
        ("target=[kreal_local]", "target", "did you mean krea_local?"),
        ("acceleration=[hgih]", "acceleration", "did you mean high?"),
        ("experiment=demos", "experiment", "did you mean demo?"),
        ("axes.steps=[]", "axes.steps", "found []; expected at least 1 item"),
        ("axes.steps=[0]", "axes.steps.0", "greater than or equal to 1"),
        ("axes.steps=[101]", "axes.steps", "steps from 1 to 100"),
        ("axes.guidance=[21]", "axes.guidance", "guidance from 0 to 20"),
        ("axes.size=[1000x1000]", "axes.size", "nearest to 1000x1000: 992x992"),
        ("axes.size=[2064x2048]", "axes.size", "at most 4194304 pixels"),
        ("axes.size=[32x32]", "axes.size", "at least 64 px"),
        ("axes.num_images=[5]", "axes.num_images", "num_images from 1 to 4"),
        ("axes.output_format=[webp]", "axes.output_format.0", "'png' or 'jpeg'"),
        ("axes.exclude=[{target: nobody}]", "axes.exclude[0].target", "one of krea_local"),
        ("axes.exclude=[{}]", "axes.exclude[0]", "at least one axis"),
        ("run.concurrency=0", "run.concurrency.0", "greater than or equal to 1"),
        ("run.concurrency=[1,501]", "run.concurrency.1", "less than or equal to 500"),
        ("run.concurrency=[]", "run.concurrency", "at least 1"),
        ("run.concurrency=many", "run.concurrency.0", "integer"),
        ("run.seeds=[-1]", "run.seeds.0", "greater than or equal to 0"),
        ("run.seeds=[true]", "run.seeds.0", "integer"),
        ("prompts.limit=0", "prompts.limit", "greater than or equal to 1"),
        ("prompts.ids=[nobody]", "prompts.ids", "short.jsonl"),
        ("name=../evil", "name", "pattern"),
        ("reference.steps=most", "reference.steps", "'default' or 'max'"),
        ("acceleration.none.features={turbo: {}}", "acceleration.none.features", "turbo"),
        ("target.krea_local.backend=difusers", "target.krea_local.backend", "did you mean diffusers?"),
        ("name='${oc.env:HOME}'", "configuration", "key_env"),
        ("axes.steps=[4", "configuration", "override"),
    ],
)
def test_one_clear_message(override: str, key: str, expected: str) -> None:
    found = problems(override)
    assert list(found) == [key]
    assert expected in found[key]


def test_a_budget_needs_a_price() -> None:
    found = problems("target=[krea_fal]", "target.krea_fal.model=fal-ai/other", "budget.usd=1")
    assert list(found) == ["pricing.endpoints.fal-ai/other"]


def test_the_value_of_an_unknown_key_is_not_repeated() -> None:
    found = problems("target.krea_local.api_key=sk-very-secret")
    assert "sk-very-secret" not in "".join(found.values())


def test_environment_variables_do_not_enter_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", "sk-very-secret")
    assert "sk-very-secret" not in "".join(problems("description=${oc.env:FAL_KEY}").values())


def test_one_value_stands_for_a_list_of_one() -> None:
    axes = load(["axes.steps=8", "axes.size=square", "run.seeds=3"]).experiment
    assert axes.axes.steps == (8,)
    assert axes.axes.size == ("square",)
    assert axes.seeds == (3,)


def test_how_many_are_in_flight() -> None:
    assert load([]).experiment.concurrency == (1,)
    assert load(["run.concurrency=8"]).experiment.concurrency == (8,)
    assert load(["run.concurrency=[1,8,8,40]"]).experiment.concurrency == (1, 8, 40)


def test_users_own_groups_are_found(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    text = (conf_dir() / "target" / "krea_local.yaml").read_text(encoding="utf-8")
    own = text.replace("krea_local", "mine").replace("steps: 28", "steps: 12")
    (tmp_path / "target" / "mine.yaml").write_text(own, encoding="utf-8")
    composed = load(["target=[mine,krea_local]"], tmp_path)
    assert [(target.name, target.defaults.steps) for target in composed.experiment.targets] == [
        ("mine", 12),
        ("krea_local", 28),
    ]


def test_users_own_files_need_names_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "krea_local.yaml").write_text("model: mine\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="target=krea_local is ours"):
        load([], tmp_path)


def test_a_users_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config-dir"):
        load([], tmp_path / "nowhere")


def test_metrics_can_be_chosen_alone() -> None:
    assert [metric.kind for metric in load_metrics(["ssim", "mini_clip_score"])] == ["ssim", "clip_score"]
    with pytest.raises(ConfigError, match="did you mean ssim"):
        load_metrics(["sim"])


def test_options_of_a_service_are_validated_too() -> None:
    found = problems("target=[mini_fal]", "target.mini_fal.service.options.image=patterns")
    assert list(found) == ["target.mini_fal.service.options.image"]
    assert "did you mean images?" in found["target.mini_fal.service.options.image"]


def test_options_are_stored_complete() -> None:
    target = load(["target=[mini_fal]"]).experiment.targets[0]
    assert target.options["poll_interval_s"] == 0.02
    assert target.service is not None
    assert target.service.options["megapixel_pixels"] == 1_000_000
    assert target.price is not None
    assert target.price.usd_first_megapixel == target.price.usd_further_megapixel == 0.025


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("budget.usd=inf", "budget.usd"),
        ("budget.usd=nan", "budget.usd"),
        ("engine.sample_timeout_s=1e400", "engine.sample_timeout_s"),
        ("pricing.device_usd_per_hour=inf", "pricing.device_usd_per_hour"),
        ("target.fake_local.options.latency_s=nan", "target.fake_local.options.latency_s"),
        ("target.fake_local.limits.guidance=[0,inf]", "target.fake_local.limits.guidance.1"),
    ],
)
def test_every_number_is_finite(override: str, key: str) -> None:
    """JSON has no infinity: run.json would say something else, or could not be read back."""
    found = problems("experiment=trial", override)
    assert found.keys() == {key}
    assert "a finite number" in found[key]


@pytest.mark.parametrize("pattern", ["steps: defualt", "steps: [2, '4']", "guidance: defualt"])
def test_an_exclusion_that_could_never_match_is_an_error(pattern: str) -> None:
    found = problems("experiment=trial", f"axes.exclude=[{{{pattern}}}]")
    assert all(key.startswith("axes.exclude.0.") for key in found)


def test_a_key_given_for_its_name_is_not_repeated() -> None:
    found = problems("target=[krea_fal]", "target.krea_fal.key_env='abc:def-secret'")
    assert "FAL_KEY" in found["target.krea_fal.key_env"]
    assert "def-secret" not in found["target.krea_fal.key_env"]


def test_an_unknown_option_is_named_with_those_there_are() -> None:
    found = problems("experiment=trial", "metrics.psnr.options={x: 1}")
    assert "formats, sizes" in found["metrics.psnr.options.x"]


def test_options_of_something_that_takes_none() -> None:
    @dataclass
    class NoOptions:
        pass

    collect = Collector()
    collect.options("metrics.x.options", NoOptions, {"y": 1})
    assert "none to choose from" in collect.problems[0].expected


def test_a_reference_that_nobody_defines_is_a_slip_one_that_is_not_chosen_is_none() -> None:
    found = problems("experiment=trial", "reference.acceleration=nome")
    assert "did you mean none?" in found["reference.acceleration"]
    assert load(["experiment=trial", "acceleration=[high]"]).experiment.reference.acceleration == "none"


def test_the_nearest_size_is_one_that_can_be_drawn() -> None:
    assert "nearest to 7x40: 16x32" in problems("experiment=trial", "axes.size=[7x40]")["axes.size"]


@pytest.mark.parametrize("key", ["run.dir", "report.dir", "prompts.file"])
def test_the_home_of_nobody(key: str) -> None:
    assert "home folder" in problems("experiment=trial", f"{key}='~nobody-of-that-name/x'")[key]


def test_a_folder_of_ones_own_with_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "it's, [mine]"
    (folder / "axes").mkdir(parents=True)
    (folder / "axes/own.yaml").write_text("# @package axes\ndefaults: [default]\nsteps: [7]\n", encoding="utf-8")
    assert load(["experiment=trial", "axes=own", "axes.steps=[7]"], folder).experiment.axes.steps == (7,)


def test_a_file_of_ones_own_that_is_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "axes").mkdir()
    (tmp_path / "axes/own.yaml").write_text("steps: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"own\.yaml"):
        load(["experiment=trial", "axes=own"], tmp_path)


def test_each_kind_of_engine_has_keys_of_its_own() -> None:
    assert load(["experiment=trial", "engine.devices=[0,1]"]).experiment.engine.devices == ("cuda:0", "cuda:1")
    assert load(["experiment=trial", "engine.devices=cpu"]).experiment.engine.devices == ("cpu",)
    ray = load(["experiment=trial", "engine=ray", "engine.address=head:6379"]).experiment.engine.ray
    assert ray is not None
    assert ray.address == "head:6379"


@pytest.mark.parametrize(
    ("overrides", "key", "expected"),
    [
        (["engine=ray", "engine.adress=auto"], "engine.adress", "did you mean address?"),
        (["engine=ray", "engine.devices=[0]"], "engine.devices", "an unknown key"),
        (["engine.address=auto"], "engine.address", "an unknown key"),
        (["engine.devices=[gpu]"], "engine.devices.0", "'cpu'"),
        (["engine=ray", "engine.workers=0"], "engine.workers", "greater than or equal to 1"),
        (["engine.devices=[0,cpu]"], "engine.devices", "no median is of two kinds of device"),
        (["engine.devices=[1,1]"], "engine.devices", "each GPU once"),
        (["engine.kind=thread"], "engine.kind", "engine=KIND, one of local, ray, slurm"),
        (["engine.kind=ray"], "engine.kind", "Say engine=ray."),
        (["engine=ray", "++engine.kind=ray"], "engine.kind", "each kind has keys of its own"),
        (["engine=ray", "engine.address=head"], "engine.address", "auto, or HOST:PORT of the cluster's head"),
        (["engine=ray", "engine.accelerator_type='H 100'"], "engine.accelerator_type", "a kind of GPU such as H100"),
        (["engine=ray", "engine.gpus_per_worker=2"], "engine.gpus_per_worker", "a worker draws with one GPU"),
        (["engine=slurm", "engine.gpus_per_job=4"], "engine.gpus_per_job", "a worker draws with one GPU"),
        (
            ["engine=slurm", "engine.partition='gpu;x'"],
            "engine.partition",
            "a name without spaces and marks other than",
        ),
    ],
)
def test_what_an_engine_does_not_have_is_refused(overrides: list[str], key: str, expected: str) -> None:
    found = problems("experiment=trial", *overrides)
    assert found.keys() == {key}
    assert expected in found[key]


@pytest.mark.parametrize(
    ("engine", "gpus"),
    [
        ([], [("here", (8, 0))]),
        (["engine.devices=[cpu,cpu]"], []),
        (["engine.devices=[0]"], [("here", (8, 0))]),
        (["engine=ray", "engine.gpus_per_worker=0"], []),
        (["engine=ray", "engine.accelerator_type=H100"], [("H100", (9, 0))]),
        (["engine=ray"], [("a GPU of the cluster (engine.accelerator_type tells which)", None)]),
    ],
)
def test_the_plan_knows_the_devices_of_its_engine(
    monkeypatch: pytest.MonkeyPatch, engine: list[str], gpus: list[tuple[str, tuple[int, int] | None]]
) -> None:
    here = MachineSpec(gpus=(Gpu(name="here", capability=(8, 0), memory_bytes=1),), packages={}, compiler=True)
    monkeypatch.setattr("kreabench.config.resolve.look", lambda: here)
    machine = load(["experiment=trial", *engine]).experiment.machine
    assert machine is not None
    assert [(gpu.name, gpu.capability) for gpu in machine.gpus] == gpus
