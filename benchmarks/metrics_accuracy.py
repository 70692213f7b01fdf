"""Every metric against an independent implementation or its closed form, on at least 20 pictures of several sizes.

    python benchmarks/metrics_accuracy.py [NAME …]

Prints a table and exits 1 where a deviation is larger than its limit, which is 1e-3 of the value wherever nothing else
is explained. Models have small or random weights in the real formats: what is checked is the arithmetic.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import accuracy_fidelity as fidelity
import accuracy_sets as sets
from accuracy_check import Check

CHECKS: dict[str, Callable[[], Check]] = {
    "psnr": fidelity.psnr,
    "ssim": fidelity.ssim,
    "ms_ssim": fidelity.ms_ssim,
    "ms_ssim_odd": fidelity.ms_ssim_odd,
    "lpips": fidelity.lpips,
    "dists": fidelity.dists,
    "dino_similarity": fidelity.dino_similarity,
    "dino_preprocessing": fidelity.dino_preprocessing,
    "kid": sets.kid,
    "fid": sets.fid,
    "cmmd": sets.cmmd,
    "vendi": sets.vendi,
}
"""One a metric, or more."""

_ROW = "{:<24} {:<44} {:>4} {:>10} {:>8} {:<5} {:>6}  {}"


def main() -> int:
    """0 where every check passes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CHECKS)}; all without")
    names = parser.parse_args().names or list(CHECKS)
    unknown = sorted(set(names) - set(CHECKS))
    if unknown:
        parser.error(f"no check is named {', '.join(unknown)}: there are {', '.join(CHECKS)}")
    print(_ROW.format("metric", "against", "n", "deviation", "limit", "ok", "s", "explained"))
    failed = 0
    for name in names:
        start = time.perf_counter()
        check = CHECKS[name]()
        seconds = f"{time.perf_counter() - start:.1f}"
        said = "yes" if check.passed else "NO"
        limits = (f"{check.deviation:.1e}", f"{check.limit:.0e}")
        print(_ROW.format(check.metric, check.against, check.n, *limits, said, seconds, check.explained))
        failed += not check.passed
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
