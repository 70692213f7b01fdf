"""What the device can do at best: rates of large matrix products and of a large copy, in well under a second.

A floor must never be too high, so the best of several measurements counts, on operands that are not zeros (products
of zeros draw less power and run at higher clocks than any model's).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kreabench.backends.devices import Device
from kreabench.core.records import Calibration

_CPU_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@dataclass(frozen=True, kw_only=True, slots=True)
class Effort:
    """How large and how often; chosen so that a matrix product is limited by arithmetic and a copy by memory."""

    side: int
    """Of the square matrices."""
    copied_bytes: int
    budget_s: float
    """Time for each rate; at least `MIN_TRIES` tries are made."""


GPU = Effort(side=8192, copied_bytes=2**30, budget_s=0.1)
HOST = Effort(side=768, copied_bytes=128 * 2**20, budget_s=0.04)
MIN_TRIES = 3


def calibrate(device: Device, dtype: str, effort: Effort | None = None) -> Calibration:
    """Measure the rates of `dtype` and of the quantised formats that the device has. Frees all it took."""
    began = time.perf_counter()
    effort = effort or (HOST if device.name == "cpu" else GPU)
    rates = _rates(device, dtype, effort)
    copy_gb_s = _copy_gb_s(device, effort)
    device.release()
    device.reset_peaks()  # else a load that fails would tell of these operands
    return Calibration(
        tflop_s=rates,
        copy_gb_s=copy_gb_s,
        cache_bytes=_cache_bytes(device),
        seconds=time.perf_counter() - began,
    )


def _rates(device: Device, dtype: str, effort: Effort) -> dict[str, float]:
    """A function of its own, so that no operand lives on when the device's memory is given back."""
    operations = 2.0 * effort.side**3
    return {
        name: operations / _best_s(device, product, effort.budget_s) / 1e12
        for name, product in _products(device, dtype, effort.side)
    }


def _best_s(device: Device, call: Callable[[], Any], budget_s: float) -> float:
    """Shortest seconds of one `call`; the first, which may choose or load a kernel, is thrown away."""
    call()
    device.synchronize()
    best, deadline, tries = float("inf"), time.perf_counter() + budget_s, 0
    while tries < MIN_TRIES or time.perf_counter() < deadline:
        marks = [device.mark()]
        call()
        marks.append(device.mark())
        device.synchronize()
        best = min(best, *device.seconds_between(marks))
        tries += 1
    return best


def _products(device: Device, dtype: str, side: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Number format → one matrix product in it, for every format that a model of `dtype` may be run in here."""
    import torch

    left, right = (torch.randn(side, side, device=device.name, dtype=getattr(torch, dtype)) for _ in range(2))
    out = torch.empty_like(left)
    yield dtype, lambda: torch.mm(left, right, out=out)
    if device.name == "cpu":
        return
    if dtype == "float32":
        yield "tf32", lambda: _with_tf32(lambda: torch.mm(left, right, out=out))
    capability = torch.cuda.get_device_capability(device.name)
    if capability >= (8, 0):
        integers = [torch.randint(-127, 127, (side, side), device=device.name, dtype=torch.int8) for _ in range(2)]
        yield "int8", lambda: torch._int_mm(integers[0], integers[1].t())
    if capability >= (8, 9):  # the first with products of 8-bit floats
        a, b = left.to(torch.float8_e4m3fn), right.to(torch.float8_e4m3fn).t()  # the second by columns
        one = torch.ones((), device=device.name)
        # Fast accumulation is the fastest that quantised linear layers take, so it bounds them all.
        yield "float8", lambda: torch._scaled_mm(a, b, one, one, out_dtype=torch.bfloat16, use_fast_accum=True)


def _with_tf32(call: Callable[[], Any]) -> Any:
    """`call` with matrix products of 32 bits in TF32, as convolutions are by default."""
    import torch

    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        return call()
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _copy_gb_s(device: Device, effort: Effort) -> float:
    import torch

    source = torch.ones(effort.copied_bytes, dtype=torch.uint8, device=device.name)
    target = torch.empty_like(source)
    seconds = _best_s(device, lambda: target.copy_(source), effort.budget_s)
    return 2 * effort.copied_bytes / seconds / 1e9


def _cache_bytes(device: Device) -> int | None:
    """Size of the last cache before the memory; None where nobody says."""
    if device.name != "cpu":
        import torch

        return int(torch.cuda.get_device_properties(device.name).L2_cache_size)
    return host_cache_bytes(_CPU_CACHES)


def host_cache_bytes(folder: Path) -> int | None:
    """The largest cache that the kernel lists in `folder`; see sysfs-devices-system-cpu."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    sizes = []
    for file in folder.glob("index*/size"):
        text = file.read_text().strip()
        if text[:-1].isdigit() and text[-1] in units:
            sizes.append(int(text[:-1]) * units[text[-1]])
    return max(sizes, default=None)
