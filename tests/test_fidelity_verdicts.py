"""Verdicts beside a fidelity loss, on made-up scores whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from kreabench.analysis.noise import SeedNoise
from kreabench.analysis.paired import pair_scores
from kreabench.core.planned import Setting
from kreabench.core.score_records import DrawnFloor, FloorScoreRecord, ScoreRecord
from kreabench.core.specs import MetricSpec
from kreabench.decisions.comparison import FidelityComparison, MetricComparison, SettingComparison, UnpairedRow
from kreabench.decisions.fidelity import with_fidelity
from kreabench.decisions.floors import Closeness, reference_floors
from kreabench.decisions.sides import Side
from tests.support import UTC, make_setting

PSNR = MetricSpec(name="psnr", kind="psnr", options={})
SSIM = MetricSpec(name="ssim", kind="ssim", options={})
LPIPS = MetricSpec(name="lpips", kind="lpips", options={})
CLIP = MetricSpec(name="clip_score", kind="clip_score", options={})

REFERENCE = make_setting()
COMPILED = make_setting(acceleration="compiled", reference_id=REFERENCE.id)
FAST = make_setting(acceleration="fast", reference_id=REFERENCE.id)

Values = NDArray[np.float64]
PROMPTS = 40


def noise(seed: int, mean: float, sd: float = 1.0, n: int = PROMPTS) -> Values:
    """One value a prompt, normal."""
    return mean + sd * np.random.default_rng(seed).standard_normal(n)


@dataclass(frozen=True, kw_only=True)
class Known:
    """One setting whose truth is known; one picture a prompt."""

    setting: Setting = FAST
    to_reference: Values
    """By the fidelity metric; infinite for equal pictures."""
    quality: Values | None = None
    """clip_score, candidate − reference; None without the metric."""
    seed_sd: float | None = 1.0
    untrained: bool = False
    fidelity_untrained: bool = False
    identical: int = 0
    unpaired: int = 0


@dataclass(frozen=True, kw_only=True)
class World:
    """A run of one reference."""

    settings: Sequence[Known]
    spec: MetricSpec = PSNR
    drawn: dict[DrawnFloor, Values] = field(default_factory=dict)
    """Floor → score of a pair of each prompt; infinite for the same file."""

    def verdicts(self) -> dict[str, FidelityComparison]:
        """By acceleration."""
        found = with_fidelity(self.side(), [_comparison(known) for known in self.settings])
        return {one.candidate.acceleration: one.fidelity[0] for one in found}

    def fast(self) -> FidelityComparison:
        return self.verdicts()["fast"]

    def side(self) -> Side:
        sizes = [known.to_reference.size for known in self.settings] + [values.size for values in self.drawn.values()]
        nothing = np.full(max(sizes), np.nan)
        rows = [_rows(REFERENCE, nothing, self.spec), _rows(REFERENCE, nothing, self.spec, tag="other ")]
        rows += [_rows(k.setting, k.to_reference, self.spec, untrained=k.fidelity_untrained) for k in self.settings]
        return Side(
            name="run",
            run_name="run",
            created_utc=UTC,
            table=pd.concat(rows, ignore_index=True),
            settings=(REFERENCE, *(known.setting for known in self.settings)),
            metrics=(self.spec, CLIP),
            identities={self.spec.name: "now"},
            prompts={},
            facts={},
            versions={},
            requested={},
            notice=None,
            picture_folder=None,
            floor_scores=tuple(line for kind, values in self.drawn.items() for line in _floor(kind, values, self.spec)),
            compiled=frozenset({COMPILED.id}),
        )


def _rows(
    setting: Setting, values: Values, spec: MetricSpec, *, tag: str = "", untrained: bool = False
) -> pd.DataFrame:
    numbers = range(values.size)
    statuses = ["not_applicable" if np.isnan(v) else "infinite" if np.isinf(v) else "ok" for v in values]
    return pd.DataFrame(
        {
            "status": "ok",
            "setting_id": setting.id,
            "request_id": [f"{tag}{setting.id} {number}" for number in numbers],
            "prompt_id": [f"prompt-{number}" for number in numbers],
            "image_index": 0,
            "image_sha256": [f"{tag}{setting.id} picture {number}" for number in numbers],
            f"score_{spec.name}": np.where(np.isfinite(values), values, np.nan),
            f"score_{spec.name}_status": statuses,
            f"score_{spec.name}_untrained": untrained,
        }
    )


def _floor(kind: DrawnFloor, values: Values, spec: MetricSpec) -> list[FloorScoreRecord]:
    return [
        FloorScoreRecord(
            floor=kind,
            partner_request_id=f"other {REFERENCE.id} {number}",
            score=ScoreRecord(
                request_id=f"{REFERENCE.id} {number}",
                image_index=0,
                image_sha256=f"{REFERENCE.id} picture {number}",
                reference_sha256=f"other {REFERENCE.id} picture {number}",
                metric=spec.name,
                identity="now",
                status="infinite" if np.isinf(value) else "ok",
                value=None if np.isinf(value) else float(value),
            ),
        )
        for number, value in enumerate(values)
    ]


def _comparison(known: Known) -> SettingComparison:
    pairs = known.to_reference.size
    unpaired = [
        UnpairedRow(side="base", prompt_id=f"lost-{k}", seed=0, repeat=0, image_index=0, reason="failed")
        for k in range(known.unpaired)
    ]
    return SettingComparison(
        base=REFERENCE,
        candidate=known.setting,
        pairs=pairs,
        identical=known.identical,
        resized=0,
        unpaired=tuple(unpaired),
        metrics=() if known.quality is None else (_quality(known, known.quality),),
        costs=(),
        rates=(),
    )


def _noise(sd: float, prompts: NDArray[np.object_]) -> SeedNoise:
    """Of three seeds in each prompt, all of the same spread."""
    draws = np.full(len(prompts), 3)
    return SeedNoise(prompts=np.sort(prompts), squares=sd**2 * (draws - 1.0), draws=draws)


def _quality(known: Known, difference: Values) -> MetricComparison:
    base = 30 + noise(99, 0, 2, difference.size)
    prompts = np.array([f"prompt-{number}" for number in range(difference.size)], dtype=object)
    return MetricComparison(
        spec=CLIP,
        unit="",
        better="higher",
        scores=pair_scores(base, base + difference, prompts),
        difference=None,
        effect_size=None,
        share_better=None,
        p_value=None,
        p_adjusted=None,
        noise=None if known.seed_sd is None else _noise(known.seed_sd, prompts),
        untrained=known.untrained,
        obstacle="",
    )


SAME = noise(1, 0, 0.3)
WIDE = 10 * (SAME - SAME.mean())
"""Of quality: no change, known well enough for a margin of half of 1."""
WORSE = noise(2, -1.2, 0.3)


def test_equal_pictures_are_within_noise_whatever_is_known_of_quality() -> None:
    one = World(settings=[Known(to_reference=np.full(6, np.inf), identical=6)]).fast()
    assert (one.verdict, one.reason) == ("within noise", "all 6 pictures are identical to the reference's")
    assert (one.to_reference.mean, one.to_reference.pairs, one.to_reference.infinite) == (None, 6, 6)


def test_as_close_as_compilation_is_within_noise_and_the_floor_is_named() -> None:
    world = World(
        settings=[
            Known(setting=COMPILED, to_reference=noise(3, 19.3, 3)),
            Known(to_reference=noise(3, 19.3, 3) + noise(4, 0.2, 1)),
        ]
    )
    found = world.verdicts()
    assert found["fast"].verdict == "within noise"
    assert COMPILED.label in found["fast"].reason
    assert f"within {noise(3, 19.3, 3).std(ddof=1) / 2:.3g} dB" in found["fast"].reason
    assert set(found["fast"].floors) == {"compiled"}
    assert found["fast"].floors["compiled"].mean == found["compiled"].to_reference.mean


def test_compilation_is_no_excuse_for_itself() -> None:
    found = World(settings=[Known(setting=COMPILED, to_reference=noise(3, 19.3, 3))]).verdicts()
    assert found["compiled"].verdict == "undecided"


def test_a_compiled_setting_that_is_worse_is_no_floor() -> None:
    world = World(
        settings=[
            Known(setting=COMPILED, to_reference=noise(3, 9), quality=WORSE),
            Known(to_reference=noise(4, 12), quality=WIDE),
        ]
    )
    found = world.verdicts()
    assert found["compiled"].verdict == "worse"
    assert (found["fast"].verdict, set(found["fast"].floors)) == ("undecided", set())
    assert "worse itself, so it is no floor" in found["fast"].reason


def test_as_close_as_the_reference_drawn_again_is_within_noise() -> None:
    world = World(settings=[Known(to_reference=noise(4, 41))], drawn={"itself": noise(3, 40)})
    assert world.fast().verdict == "within noise"
    assert "as itself drawn again" in world.fast().reason


@pytest.mark.parametrize(("spec", "drawn", "own"), [(PSNR, np.inf, 60.0), (SSIM, 1.0, 0.9999), (LPIPS, 0.0, 0.0001)])
def test_where_the_reference_repeats_itself_nothing_but_equal_pictures_is_within_noise(
    spec: MetricSpec, drawn: float, own: float
) -> None:
    world = World(
        spec=spec, settings=[Known(to_reference=noise(4, own, own / 1e6))], drawn={"itself": np.full(PROMPTS, drawn)}
    )
    assert world.fast().verdict == "undecided"


def test_equal_pictures_among_the_repeats_are_not_left_out_of_the_floor() -> None:
    repeats = noise(3, 40)
    repeats[:10] = np.inf
    world = World(settings=[Known(to_reference=noise(4, 41))], drawn={"itself": repeats})
    assert world.fast().verdict == "undecided"
    assert world.fast().floors["itself"].infinite == 10


def test_equal_pictures_without_a_number_count_against_whoever_is_held_against_them() -> None:
    mixed = Closeness(
        values=np.array([np.inf, 40.0, 40.0, 41.0, np.inf]),
        prompts=np.array(["a", "a", "b", "b", "c"], dtype=object),
        identical=2,
        left_out=0,
        untrained=False,
    )
    assert mixed.by_prompt(generous=True) == {"a": np.inf, "b": 40.5, "c": np.inf}
    assert mixed.by_prompt(generous=False) == {"a": 40.0, "b": 40.5, "c": np.inf}


def test_lower_is_closer_where_the_metric_says_so() -> None:
    near, far = noise(4, 0.10, 0.01), noise(4, 0.30, 0.01)
    drawn: dict[DrawnFloor, Values] = {"itself": noise(3, 0.11, 0.01)}
    assert World(spec=LPIPS, settings=[Known(to_reference=near)], drawn=drawn).fast().verdict == "within noise"
    assert World(spec=LPIPS, settings=[Known(to_reference=far)], drawn=drawn).fast().verdict == "undecided"


def test_further_away_but_not_worse_is_another_picture() -> None:
    world = World(
        settings=[Known(to_reference=noise(4, 12), quality=SAME)],
        drawn={"itself": noise(3, 40), "another_seed": noise(6, 12)},
    )
    one = world.fast()
    assert one.verdict == "another picture, not worse"
    assert one.reason == "clip_score: no loss beyond the margin; about as far from the reference as another seed"


@pytest.mark.parametrize(("distance", "said"), [(20, "closer to"), (6, "further from")])
def test_the_reason_says_where_another_seed_is(distance: float, said: str) -> None:
    world = World(settings=[Known(to_reference=noise(4, distance))], drawn={"another_seed": noise(6, 12)})
    assert world.fast().reason.endswith(f"{said} the reference than another seed")


def test_an_established_loss_is_worse_even_where_the_distance_is_noise() -> None:
    for distance in (10, 41):
        world = World(settings=[Known(to_reference=noise(4, distance), quality=WORSE)], drawn={"itself": noise(3, 40)})
        assert world.fast().verdict == "worse"
        assert world.fast().reason.startswith("clip_score: a loss is established")


def test_a_loss_inside_the_margin_is_no_worse_picture() -> None:
    small = noise(1, -0.2, 0.3)
    assert World(settings=[Known(to_reference=noise(4, 12), quality=small)]).fast().verdict == (
        "another picture, not worse"
    )


def test_too_few_prompts_are_undecided_with_the_number_that_would_decide() -> None:
    few = noise(3, 0, 1.5, 8)
    one = World(settings=[Known(to_reference=noise(4, 12, n=8), quality=few)]).fast()
    assert one.verdict == "undecided"
    assert "prompts would decide" in one.reason


def test_without_a_metric_of_quality_or_with_untrained_ones_alone_it_is_undecided() -> None:
    bare = World(settings=[Known(to_reference=noise(4, 12))]).fast()
    assert (bare.verdict, bare.reason) == (
        "undecided",
        "no metric that looks at a picture alone says whether it is worse",
    )
    random = World(settings=[Known(to_reference=noise(4, 12), quality=WORSE, untrained=True)]).fast()
    assert (random.verdict, random.reason) == (
        "undecided",
        "only untrained metrics could say whether it is worse: clip_score",
    )


def test_without_a_second_seed_there_is_no_margin_but_a_loss_is_a_loss() -> None:
    same = World(settings=[Known(to_reference=noise(4, 12), quality=SAME, seed_sd=None)]).fast()
    assert (same.verdict, "the noise floor is not known" in same.reason) == ("undecided", True)
    worse = World(settings=[Known(to_reference=noise(4, 12), quality=WORSE, seed_sd=None)]).fast()
    assert worse.verdict == "worse"


def test_a_distance_of_random_weights_is_never_noise() -> None:
    world = World(settings=[Known(to_reference=noise(4, 41), fidelity_untrained=True)], drawn={"itself": noise(3, 40)})
    assert world.fast().verdict == "undecided"
    assert "random" in world.fast().reason


@pytest.mark.parametrize(
    "known", [Known(to_reference=noise(4, 41), quality=SAME), Known(to_reference=noise(4, 12), quality=SAME)]
)
def test_nothing_good_is_said_where_pictures_are_missing(known: Known) -> None:
    drawn: dict[DrawnFloor, Values] = {"itself": noise(3, 40)}
    whole, holed = World(settings=[known], drawn=drawn), World(settings=[replace(known, unpaired=10)], drawn=drawn)
    assert whole.fast().verdict in {"within noise", "another picture, not worse"}
    assert (holed.fast().verdict, "10 of 50 pictures lack" in holed.fast().reason) == ("undecided", True)
    equal = Known(to_reference=np.full(PROMPTS, np.inf), quality=np.zeros(PROMPTS), identical=PROMPTS, unpaired=10)
    assert World(settings=[equal]).fast().verdict == "undecided"


def test_a_floor_of_pictures_or_weights_that_are_no_more_is_not_used() -> None:
    side = World(settings=[], drawn={"another_seed": noise(3, 12), "itself": noise(3, 40)}).side()
    assert set(reference_floors(side)[0].floors) == {"another_seed", "itself"}
    assert reference_floors(replace(side, identities={"psnr": "other weights"})) == ()

    table = side.table.copy()
    table.loc[table["request_id"] == f"{REFERENCE.id} 3", "image_sha256"] = "drawn anew"
    (one,) = reference_floors(replace(side, table=table))
    assert {kind: floor.pairs for kind, floor in one.floors.items()} == {"itself": 39, "another_seed": 39}


def test_a_floor_is_a_mean_over_prompts_with_its_interval() -> None:
    values = noise(3, 12)
    (one,) = reference_floors(World(settings=[], drawn={"another_seed": values}).side())
    mean = one.floors["another_seed"].mean
    assert mean is not None
    assert mean.value == pytest.approx(values.mean())
    assert mean.n == PROMPTS
    assert mean.low is not None
    assert mean.high is not None
    assert mean.high - mean.low == pytest.approx(2 * 2.0227 * values.std(ddof=1) / np.sqrt(PROMPTS), rel=1e-3)


def test_a_setting_further_away_than_the_margin_seldom_passes_for_noise() -> None:
    rng = np.random.default_rng(20)
    passed = 0
    for _ in range(120):
        floor = 40 + rng.standard_normal(30)
        own = 40 - 0.5 + rng.standard_normal(30)  # the margin is half of a standard deviation of 1 dB
        passed += World(settings=[Known(to_reference=own)], drawn={"itself": floor}).fast().verdict == "within noise"
    assert passed / 120 <= 0.1
