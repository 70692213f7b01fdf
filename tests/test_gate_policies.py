"""Policy files of the gate: what ships is sound, and everything wrong with one is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from kreabench.config.compose import group_options
from kreabench.config.gate_policies import known_metrics, load_policy
from kreabench.core.errors import ConfigError
from kreabench.core.policies import COSTS, RATES
from kreabench.metrics.table import METRICS

SHIPPED = sorted(group_options("gate"))


def problems(tmp_path: Path, text: str, *measured: str) -> str:
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_policy(str(file), measured)
    return str(caught.value).replace(f"{file}", "FILE")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_policies_judge_everything_that_they_promise(name: str) -> None:
    policy = load_policy(name, ())
    assert policy.description
    assert policy.every_metric is not None
    named = {check.name for check in policy.checks}
    look = {kind for kind, row in METRICS.items() if row.better == "reference"}
    assert look <= named, "metrics without a better side are no part of every_metric"
    assert {"latency", "failure_rate"} <= named or name in {"quality_only", "canary"}
    assert named <= {*COSTS, *RATES, *known_metrics()}


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = problems(
        tmp_path,
        """
level: 0.7
min_prompt: 9
every_metric: {margin: {absolute: 1}}
checks:
  clip_scor: {margin: {absolute: 1, relative: 2}}
  kid: {margin: {absolute: 1}}
  latency: {margin: {absolute: .nan}, side: two}
  nsfw_rate: {margin: {relative: 0.1}}
  failure_rate: {margin: {}}
  degenerate_rate: {margin: {absolute: 5}}
  psnr: {margin: {absolute: -1}}
""",
    )
    for said in (
        "FILE.level: found 0.7; expected less than 0.5",
        "FILE.min_prompt: found an unknown key",
        "did you mean min_prompts?",
        "FILE.every_metric.margin: found absolute; expected relative: NUMBER or noise_floor: NUMBER",
        "FILE.checks.clip_scor: found an unknown name",
        "did you mean clip_score?",
        "FILE.checks.clip_scor.margin: found absolute and relative",
        "FILE.checks.kid: found a metric with one score a setting",
        "FILE.checks.latency.margin.absolute: found nan; expected a finite number",
        "FILE.checks.latency.side: found an unknown key",
        "FILE.checks.latency.margin: found absolute; expected relative",
        "FILE.checks.nsfw_rate.margin: found relative; expected absolute",
        "FILE.checks.failure_rate.margin: found nothing",
        "FILE.checks.degenerate_rate.margin.absolute: found 5; expected a share below 1",
        "FILE.checks.psnr.margin.absolute: found -1",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("checks:\n  psnr: 1\n  psnr: 2\n", "psnr twice, line 2"),
        ("checks: {}\n", "found no check"),
        ("- a\n", "expected a mapping"),
        ("", "found None; expected a mapping"),
        ("a: [\n", "expected YAML"),
        ("checks: [psnr]\n", "FILE.checks"),
        ("checks: {psnr: null}\n", "FILE.checks.psnr"),
    ],
)
def test_a_file_that_is_no_policy(tmp_path: Path, text: str, said: str) -> None:
    assert said in problems(tmp_path, text)


@pytest.mark.parametrize("key", ["str", "none", "a[b]", "list[str]"])
def test_an_unknown_key_may_look_like_anything(tmp_path: Path, key: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(f"every_metric: {{margin: {{noise_floor: 0.5}}}}\n'{key}': 1\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_policy(str(file), [])
    assert [(problem.key, problem.found) for problem in caught.value.problems if problem.found == "an unknown key"] == [
        (f"{file}.{key}", "an unknown key")
    ]


def test_an_unknown_key_does_not_rule_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text('every_metric: {margin: {noise_floor: 0.5}}\n"\\e[2J": 1\n', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_policy(str(file), [])
    assert "\x1b" not in str(caught.value)


def test_names_are_those_of_the_runs_and_of_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("checks:\n  my_own: {margin: {absolute: 1}}\n  lpips: {margin: {noise_floor: 1}}\n")
    assert [check.name for check in load_policy(str(file), {"my_own"}).checks] == ["my_own", "lpips"]
    assert "FILE.checks.my_own: found an unknown name" in problems(tmp_path, file.read_text())


def test_a_policy_of_the_users_own_is_found_by_name(tmp_path: Path) -> None:
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "ours.yaml").write_text("level: 0.1\nchecks: {latency: {margin: {relative: 0.5}}}\n")
    policy = load_policy("ours", (), tmp_path)
    assert (policy.name, policy.level, policy.checks[0].margin.value) == ("ours", 0.1, 0.5)
    with pytest.raises(ConfigError, match=r"--policy: found 'our'; expected a file .*did you mean ours"):
        load_policy("our", (), tmp_path)
    with pytest.raises(ConfigError, match="No such file"):
        load_policy(str(tmp_path / "none.yaml"), ())
