"""Every metric against an independent implementation or its closed form, on at least 20 pictures of several sizes.

    python benchmarks/metrics_accuracy.py [NAME …]

Prints a table and exits 1 where a deviation is larger than its limit, which is 1e-3 of the value wherever nothing else
is explained. Models have small or random weights in the real formats: what is checked is the arithmetic. Nothing is
downloaded, and services run on this machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence

if __name__ == "__main__":  # before anything imports huggingface_hub, which reads these once
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

import accuracy_clip as clip
import accuracy_drawn as drawn
import accuracy_fidelity as fidelity
import accuracy_look as look
import accuracy_pixels as pixels
import accuracy_services as services
import accuracy_sets as sets
from accuracy_check import Check

CHECKS: dict[str, tuple[Callable[[], Check], ...]] = {
    "clip_score": (clip.clip_score, pixels.clip),
    "pickscore": (clip.pickscore, pixels.pickscore),
    "hpsv2": (clip.hpsv2, pixels.hpsv2),
    "clip_iqa": (clip.clip_iqa,),
    "aesthetic": (clip.aesthetic,),
    "psnr": (fidelity.psnr,),
    "ssim": (fidelity.ssim,),
    "ms_ssim": (fidelity.ms_ssim, fidelity.ms_ssim_odd),
    "lpips": (fidelity.lpips,),
    "dists": (fidelity.dists,),
    "dino_similarity": (fidelity.dino_similarity, pixels.dino_similarity),
    "colourfulness": (look.colourfulness,),
    "saturation": (look.saturation,),
    "clipping": (look.clipping,),
    "blurred_tiles": (look.blurred_tiles,),
    "blur_effect": (look.blur_effect,),
    "laplacian_variance": (look.laplacian_variance,),
    "noise_sigma": (look.noise_sigma,),
    "drawn_accuracy": (drawn.drawn_accuracy,),
    "judge": (services.judge, services.judge_pixels),
    "foreign": (services.foreign,),
    "kid": (sets.kid,),
    "fid": (sets.fid,),
    "cmmd": (sets.cmmd, pixels.cmmd),
    "vendi": (sets.vendi,),
}
"""Of every kind of metric: its value, and what its encoder makes of a picture, where the kind is the first with it."""

_ROW = "{:<24} {:<44} {:>4} {:>10} {:>8} {:<5} {:>6}  {}"


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where every check passes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CHECKS)}; all without")
    names = parser.parse_args(arguments).names or list(CHECKS)
    unknown = sorted(set(names) - set(CHECKS))
    if unknown:
        parser.error(f"no check is named {', '.join(unknown)}: there are {', '.join(CHECKS)}")
    print(_ROW.format("metric", "against", "n", "deviation", "limit", "ok", "s", "explained"))
    began = time.perf_counter()
    passed = [run(make) for name in names for make in CHECKS[name]]
    print(f"{sum(passed)} of {len(passed)} passed, {time.perf_counter() - began:.0f} s")
    return 0 if all(passed) else 1


def run(make: Callable[[], Check]) -> bool:
    """Print one row; whether its check passes."""
    start = time.perf_counter()
    check = make()
    seconds = f"{time.perf_counter() - start:.1f}"
    said = "yes" if check.passed else "NO"
    limits = (f"{check.deviation:.1e}", f"{check.limit:.0e}")
    row = _ROW.format(check.metric, check.against, check.n, *limits, said, seconds, check.explained)
    print(row.rstrip(), flush=True)
    return check.passed


if __name__ == "__main__":
    sys.exit(main())
