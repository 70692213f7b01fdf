"""What limits a report, in sentences: gravest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date

from kreabench.analysis.scores import delivered_images
from kreabench.analysis.settings import SettingSummary
from kreabench.core.records import SCHEMA_VERSION
from kreabench.core.specs import TargetSpec
from kreabench.decisions.recommend import FEW_PROMPTS
from kreabench.metrics.table import per_set
from kreabench.report.evidence import Evidence
from kreabench.report.format import count
from kreabench.report.hosted import hosted_notices, money_notices
from kreabench.report.measurements import measuring_notices, repeatability_sentence
from kreabench.report.parts import Notice
from kreabench.report.quality import look_notices, score_notices, untrained_notice
from kreabench.report.race import race_notices
from kreabench.report.sets import set_notices
from kreabench.report.text import message, visible
from kreabench.report.trained import not_trained_for
from kreabench.rundir.elsewhere import has_file

OLD_PRICE_DAYS = 90
"""After which a price list is likely to have changed."""
LOOKED_AT = 50
"""Pictures whose files are looked for: enough to see that a folder of pictures is not there."""


def notices_of(evidence: Evidence, today: date | None = None) -> tuple[Notice, ...]:
    """Everything to know before reading on. `today` is the day of the report; None: the age of prices is not told."""
    one, journal, plan = evidence, evidence.journal, evidence.plan
    found = (
        *([_warning(one.brand)] if one.brand else []),
        *_progress(evidence),
        *_too_few(evidence),
        *race_notices(one.dropped, len(one.whole.settings), one.standing.spared),
        *failed_score_notices(one.summaries),
        *score_notices(one.summaries),
        *untrained_notice(one.summaries, journal.set_scores),
        *(_warning(text) for text in not_trained_for(one.experiment.targets, plan.settings)),
        *look_notices(one.quality.shifts),
        *set_notices(journal.set_scores, plan.settings, per_set(one.experiment.metrics)),
        *money_notices(journal.money),
        *_old_prices(one.experiment.targets, today),
        *hosted_notices(one.hosted),
        *_disturbed(evidence),
        *measuring_notices(one.summaries, one.drifts),
        *_pictures(evidence),
        *_old_run(evidence),
        *_repeats(evidence),
    )
    return tuple(sorted(found, key=lambda notice: notice.level != "warning"))


def _warning(text: str) -> Notice:
    return Notice(level="warning", text=text)


def _info(text: str) -> Notice:
    return Notice(level="info", text=text)


def _progress(evidence: Evidence) -> Iterator[Notice]:
    """What failed, and what has not run yet."""
    ok, failed = (sum(getattr(s, name) for s in evidence.summaries) for name in ("ok", "failed"))
    planned = evidence.plan.request_count
    if failed and not ok:
        yield _warning("Every sample that ran has failed: there is nothing to compare.")
    elif failed:
        share = f"{failed:,} of {count(ok + failed, 'sample')} failed; the reasons are listed under Failures."
        yield _warning(share)
    stands = evidence.standing
    if stands.cut_off:
        yield _warning(
            f"Cut short: {stands.cut_off:,} of {count(planned, 'request')} were not drawn, as their level of load was "
            "ended before. No resume draws them: half a level would find the service at rest."
        )
    if stands.left:
        now = " A process draws them now: this is how far it has come." if evidence.run.is_drawn else ""
        yield _warning(f"Not finished: {stands.left:,} of {count(planned, 'request')} have not run yet.{now}")


def _too_few(evidence: Evidence) -> Iterator[Notice]:
    """Samples and prompts of which little can be inferred."""
    ok = sum(summary.ok for summary in evidence.summaries)
    prompts = delivered_images(evidence.table)["prompt_id"].nunique()
    if ok == 1:
        yield _warning("One sample was delivered: nothing here has a spread, and no setting can be compared.")
    elif prompts == 1:
        yield _warning(
            "Too few prompts: the pictures are of 1 prompt, so no score has an interval and nothing is said of other "
            f"prompts. 2 give intervals, {FEW_PROMPTS} the least that a recommendation rests on; "
            "`kreabench plan --power` says how many decide."
        )
    elif 1 < prompts < FEW_PROMPTS:
        yield _warning(
            f"Too few prompts: the pictures are of {prompts}. Intervals are wide, and how sure a recommendation is "
            f"takes at least {FEW_PROMPTS}; `kreabench plan --power` says how many decide."
        )


def failed_score_notices(summaries: Sequence[SettingSummary]) -> Iterator[Notice]:
    """Scores that a metric could not give, NaN among them, by metric."""
    failed: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for metric in (metric for summary in summaries for metric in summary.metrics if metric.failed):
        failed[metric.name] += metric.failed
        if metric.reasons:
            reasons.setdefault(metric.name, metric.reasons[0])
    for name, number in failed.items():
        why = f": {message(reasons[name], 200)}" if name in reasons else ", being no numbers"
        yield _warning(
            f"{visible(name)}: {count(number, 'score')} failed and {'is' if number == 1 else 'are'} in no mean{why}."
        )


def _old_prices(targets: Sequence[TargetSpec], today: date | None) -> Iterator[Notice]:
    """Price lists that may have changed since they were read."""
    by_date: dict[str, list[str]] = {}
    for target in targets:
        if target.price is not None:
            by_date.setdefault(target.price.date, []).append(target.name)
    for text, names in by_date.items():
        age = None if today is None else (today - date.fromisoformat(text)).days
        if age is not None and age > OLD_PRICE_DAYS:
            yield _warning(
                f"Old price list: that of {visible(', '.join(names))} was read on {text}, {age:,} days ago. Read the "
                "prices again before you rely on dollars that were not billed."
            )


def _disturbed(evidence: Evidence) -> Iterator[Notice]:
    """What was between the device and its best: clocks held down, other processes."""
    held: Counter[str] = Counter()
    for summary in evidence.summaries:
        held.update(dict(summary.device.throttle_reasons) if summary.device is not None else {})
    for reason, number in held.most_common():
        yield _warning(
            f"Throttled clocks: in {count(number, 'timed sample')} the driver held the clock down "
            f"({message(reason, 100)}): these are slower than the device can be."
        )
    table = evidence.table.drop_duplicates("request_id")
    if "foreign_processes" in table:
        disturbed = int((table["foreign_processes"].fillna(0).astype(float) > 0).sum())
        if disturbed:
            yield _warning(
                f"Foreign GPU processes: in {count(disturbed, 'sample')} others were computing on the same device; "
                "times, memory and energy are not of this model alone."
            )


def _pictures(evidence: Evidence) -> Iterator[Notice]:
    """Pictures of another size than asked, and such that are not beside the run."""
    images = delivered_images(evidence.table)
    sizes = evidence.table.drop_duplicates("request_id")
    wrong = int((sizes["error_type"] == "wrong_size").sum())
    asked = {setting.id: (setting.width, setting.height) for setting in evidence.plan.settings}
    delivered = zip(images["setting_id"], images["image_width"], images["image_height"], strict=True)
    off = sum((width, height) != asked[id_] for id_, width, height in delivered)
    if wrong or off:
        what = [f"{count(wrong, 'request')} failed for it"] if wrong else []
        what += [f"{count(off, 'picture')} {'is' if off == 1 else 'are'} among the delivered"] if off else []
        yield _warning(f"Delivered size is not the asked one: {', '.join(what)}.")
    paths = images["image_path"].iloc[:: max(1, len(images) // LOOKED_AT)]
    if len(paths) and not any(has_file(evidence.run.path, path) for path in paths):
        yield _warning(
            "A run without its pictures: none of the files that were looked for is beside it, so none is shown. Scores "
            "are those that were made before."
        )


def _old_run(evidence: Evidence) -> Iterator[Notice]:
    info = evidence.run.info
    if info.schema_version < SCHEMA_VERSION:
        yield _info(
            f"The run was written in an older form (version {info.schema_version} of {SCHEMA_VERSION}), by kreabench "
            f"{visible(info.versions.get('kreabench', 'of unknown version'))}: what it did not record is absent here."
        )


def _repeats(evidence: Evidence) -> Iterator[Notice]:
    sentence = repeatability_sentence(evidence.repeats)
    if sentence:
        yield _info(sentence)
