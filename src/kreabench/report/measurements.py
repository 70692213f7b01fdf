"""Tables of what was measured beside time and dollars: work, device, first calls, repeatability. Each only where it is.

Also the sentences about these that belong at the head of a report.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kreabench.analysis.device import DeviceSummary
from kreabench.analysis.drift import Drift
from kreabench.analysis.repeatability import Repeatability
from kreabench.analysis.settings import SettingSummary
from kreabench.core.planned import Setting
from kreabench.core.records import LoadRecord, SampleRecord, WarmupRecord
from kreabench.report.format import ABSENT, GIB, count, estimate, fixed, general, significant
from kreabench.report.parts import Cell, Column, Notice, Row, Table
from kreabench.report.text import message, visible

MAX_NOTICES = 8

DEVICE_COLUMNS = (
    Column(title="Share of the floor", unit="%", note="The least time possible over the time measured.", numeric=True),
    Column(title="Energy", unit="median J an image", note="Of the whole device.", numeric=True),
)
"""In the table of settings, where a GPU was asked; `device_cells` fills them."""


def device_cells(summary: SettingSummary) -> tuple[Cell, ...]:
    """One cell a column of `DEVICE_COLUMNS`."""
    if summary.device is None:
        return (Cell(text=ABSENT, absent=True),) * len(DEVICE_COLUMNS)
    return _share(summary.device), _energy(summary.device)


def work_table(summaries: Sequence[SettingSummary], loads: Sequence[LoadRecord]) -> Table | None:
    """How much arithmetic a request takes, how fast the device could do it, and how much of that was reached."""
    rows = []
    for summary in summaries:
        device = summary.device
        if device is not None and device.reference_tflop is not None:
            rows.append(_row(summary, _work_cells(device)))
    if not rows:
        return None
    return Table(
        columns=(
            *_label_columns(),
            Column(title="Work", unit="TFLOP a request", note="With nothing skipped.", numeric=True),
            Column(title="Done", unit="% of the work", note="What caches left.", numeric=True),
            Column(title="Floor", unit="s a request", note="The least that this device could take.", numeric=True),
            Column(title="Share of the floor", unit="%", note="The floor over the time measured.", numeric=True),
        ),
        rows=tuple(rows),
        caption="Work is counted from the sizes of the model's layers, two operations a multiplied and added pair.",
        notes=tuple(_calibrations(loads)),
    )


def _work_cells(device: DeviceSummary) -> tuple[Cell, ...]:
    return (
        _number(device.reference_tflop),
        _number(None if device.done_share is None else 100 * device.done_share, "not counted"),
        _number(device.floor_s, "not known"),
        _share(device),
    )


def _share(device: DeviceSummary) -> Cell:
    share = device.share_of_floor
    if share is None:
        return Cell(text=ABSENT, detail="not known", absent=True)
    detail = "" if share.interval is None else " – ".join(significant(100 * end) for end in share.interval)
    return Cell(text=significant(100 * share.value), detail=detail)


def _calibrations(loads: Sequence[LoadRecord]) -> Iterable[str]:
    """One sentence a load, at most as many as anybody reads."""
    calibrated = [(load, load.calibration) for load in loads if load.calibration is not None]
    if any(load.identity.get("device") == "cpu" for load, _ in calibrated):
        yield "A processor reaches less while other work shares it: there, shares of the floor are rough."
    for load, found in calibrated[:MAX_NOTICES]:
        if found.tflop_s:
            rates = ", ".join(f"{name} {significant(rate)}" for name, rate in found.tflop_s.items())
            yield (
                f"Rates measured at the load of {visible(load.target)} ({load.started_utc[11:19]} UTC): "
                f"{rates} TFLOP/s; copies {significant(found.copy_gb_s)} GB/s."
            )


def device_table(summaries: Sequence[SettingSummary]) -> Table | None:
    """Memory as torch and as the driver see it, energy and clocks; None where no GPU was asked."""
    measured = [(s, s.device) for s in summaries if s.device is not None and _was_asked(s.device)]
    if not measured:
        return None
    rows = [_row(summary, _device_cells(summary, device)) for summary, device in measured]
    heads = ("Allocated", "Most that torch's tensors took."), ("Reserved", "Most that torch kept of the device.")
    driver = (
        ("Process", "Most that the driver saw of the worker, its CUDA context among it."),
        ("Device", "Most that the driver saw of the whole device."),
    )
    return Table(
        columns=(
            *_label_columns(),
            *(Column(title=title, unit="GiB", note=note, numeric=True) for title, note in (*heads, *driver)),
            Column(title="Energy", unit="median J an image", note="Of the whole device.", numeric=True),
            Column(title="SM clock", unit="median MHz", note="And the lowest.", numeric=True),
            Column(title="Temperature", unit="highest °C", numeric=True),
            Column(title="Held down by", note="Why the driver lowered the clock, in how many samples.", prose=True),
        ),
        rows=tuple(rows),
        caption="What the driver said while samples were drawn. What it does not tell is absent, not zero.",
    )


def _was_asked(device: DeviceSummary) -> bool:
    told = (device.energy_j, device.sm_clock_mhz, device.reserved_bytes, device.driver_device_bytes)
    return any(value is not None for value in told)


def _device_cells(summary: SettingSummary, device: DeviceSummary) -> tuple[Cell, ...]:
    memory = summary.memory
    allocated = memory.max_bytes if memory is not None and memory.kind == "allocated" else None
    sizes = (allocated, device.reserved_bytes, device.driver_process_bytes, device.driver_device_bytes)
    lowest = "" if device.sm_clock_min_mhz is None else f"lowest {device.sm_clock_min_mhz:,.0f}"
    reasons = ", ".join(f"{reason} ({number})" for reason, number in device.throttle_reasons)
    return (
        *(_number(None if size is None else size / GIB) for size in sizes),
        _energy(device),
        _number(device.sm_clock_mhz, detail=lowest, places=0),
        _number(device.temperature_c, places=0),
        Cell(text=message(reasons, 200) if reasons else "nothing"),
    )


def _energy(device: DeviceSummary) -> Cell:
    if device.energy_j is None:
        return Cell(text=ABSENT, detail="not counted", absent=True)
    text, interval = estimate(device.energy_j)
    return Cell(text=text, detail=interval or "")


def first_calls_table(
    warmups: Sequence[WarmupRecord], samples: Iterable[SampleRecord], summaries: Sequence[SettingSummary]
) -> Table | None:
    """What the first call after a load took beyond a steady one: compiling, choosing kernels, first allocations."""
    longest: dict[str, tuple[float, int]] = {}
    records: list[WarmupRecord | SampleRecord] = [*warmups, *samples]
    for record in records:
        if record.timings is not None and record.timings.first_call:
            seconds, number = longest.get(record.setting_id, (0.0, 0))
            longest[record.setting_id] = (max(seconds, record.timings.end_to_end_s), number + 1)
    rows = []
    for summary in summaries:
        if summary.setting.id in longest and summary.latency is not None:
            seconds, number = longest[summary.setting.id]
            steady = summary.latency.value
            cells = (_number(seconds), _number(steady), _number(seconds - steady), Cell(text=str(number)))
            rows.append(_row(summary, cells))
    if not rows:
        return None
    return Table(
        columns=(
            *_label_columns(),
            Column(title="First call", unit="s", note="The longest, where a model was loaded often.", numeric=True),
            Column(title="Steady", unit="median s", numeric=True),
            Column(
                title="Difference",
                unit="s",
                note="Compiling, where the setting compiles. Below zero: the first call was no slower.",
                numeric=True,
            ),
            Column(title="First calls", numeric=True),
        ),
        rows=tuple(rows),
        caption="The first call of a setting after each load of the model, or of a hosted service after connecting, is "
        "no timing. What it took beyond a steady one is the price of compiling, of choosing kernels and of first "
        "allocations.",
    )


def repeatability_table(found: Sequence[Repeatability], settings: Sequence[Setting]) -> Table | None:
    """Whether pictures drawn again are equal, and if not how far apart."""
    by_id = {setting.id: setting for setting in settings}
    order = list(by_id)
    found = sorted((item for item in found if item.setting_id in by_id), key=lambda item: order.index(item.setting_id))
    rows = [
        Row(
            cells=(
                *_label(by_id[item.setting_id]),
                Cell(text="a fresh load" if item.fresh else "the same load"),
                Cell(text=f"{item.pairs:,}", detail=f"{item.unreadable} unreadable" if item.unreadable else ""),
                Cell(text=f"{item.identical:,}"),
                _psnr(item),
                Cell(text=ABSENT, absent=True)
                if item.largest_difference is None
                else Cell(text=str(item.largest_difference)),
            )
        )
        for item in found
    ]
    if not rows:
        return None
    return Table(
        columns=(
            *_label_columns(),
            Column(title="Drawn again by"),
            Column(title="Pairs", numeric=True),
            Column(title="Equal", note="Bit by bit.", numeric=True),
            Column(title="PSNR", unit="dB", note="Median of the pairs that differ, and the lowest.", numeric=True),
            Column(title="Largest difference", unit="of 255", numeric=True),
        ),
        rows=tuple(rows),
        caption="Pictures of the same setting, prompt and seed against the first of them: the noise floor of fidelity.",
    )


def _psnr(item: Repeatability) -> Cell:
    if item.psnr_db is None:
        return Cell(text=ABSENT, detail="none differs" if item.identical else "", absent=True)
    lowest, median = item.psnr_db
    return Cell(text=fixed(median, 1), detail=f"lowest {fixed(lowest, 1)}")


def repeatability_sentence(found: Sequence[Repeatability]) -> str:
    """All settings together, in words; empty where nothing was drawn again."""
    pairs, identical = sum(item.pairs for item in found), sum(item.identical for item in found)
    if not pairs:
        return ""
    fresh = "in fresh loads of the model" if all(item.fresh for item in found) else "again"
    apart = [item.psnr_db[0] for item in found if item.psnr_db is not None]
    if identical == pairs:
        return f"Repeatable: {_all(pairs)} drawn {fresh} equal the first bit by bit."
    far = f"; the furthest is {fixed(min(apart), 1)} dB (PSNR) from the first" if apart else ""
    return f"Not repeatable: {pairs - identical:,} of {count(pairs, 'picture')} drawn {fresh} differ{far}."


def _all(number: int) -> str:
    return "the picture" if number == 1 else f"all {count(number, 'picture')}"


def measuring_notices(summaries: Sequence[SettingSummary], drifts: Sequence[Drift]) -> list[Notice]:
    """What makes the numbers doubtful."""
    counts: dict[str, int] = {}
    for summary in summaries:
        for text, number in summary.device.flags if summary.device is not None else ():
            counts[text] = counts.get(text, 0) + number
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    found = [
        Notice(level="warning", text=f"In {count(number, 'sample')}: {message(text, 200)}.")
        for text, number in ordered[:MAX_NOTICES]
    ]
    found += [Notice(level="warning", text=f"Drift: {message(drift.text, 200)}.") for drift in drifts[:MAX_NOTICES]]
    return found


def _label_columns() -> tuple[Column, ...]:
    return (
        Column(title="Target"),
        Column(title="Acceleration"),
        Column(title="Steps", numeric=True),
        Column(title="Size", unit="px", numeric=True),
    )


def _label(setting: Setting) -> tuple[Cell, ...]:
    images = f" × {setting.num_images}" if setting.num_images > 1 else ""
    at_once = [f"batches of {setting.batch_size}"] if setting.batch_size > 1 else []
    at_once += [f"{setting.concurrency} in flight"] if setting.concurrency > 1 else []
    return (
        Cell(text=setting.target, detail=", ".join(at_once)),
        Cell(text=setting.acceleration),
        axis_cell(setting.steps),
        Cell(text=f"{setting.width} × {setting.height}{images}"),
    )


def axis_cell(value: float | None) -> Cell:
    """A value of an axis; absent where the endpoint has no such axis."""
    return Cell(text=general(value), absent=value is None)


def _row(summary: SettingSummary, cells: tuple[Cell, ...]) -> Row:
    return Row(cells=(*_label(summary.setting), *cells), mark=_mark(summary), setting=summary.setting.id)


def _mark(summary: SettingSummary) -> str:
    return "reference" if summary.is_reference else ""


def _number(value: float | None, why: str = "", *, detail: str = "", places: int | None = None) -> Cell:
    if value is None:
        return Cell(text=ABSENT, detail=why, absent=True)
    return Cell(text=significant(value) if places is None else fixed(value, places), detail=detail)
