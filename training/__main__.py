"""Trains the miniature: `python -m training OUT [--seed S] [--threads N] [--compile] [--only STAGE…]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from training.gate import GateFailed
from training.run import STAGES, WEIGHTS, NotYet, Training, run

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 done, 1 the autoencoder is not good enough, 2 cannot begin, 130 stopped."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("out", type=Path, help="folder of checkpoints, log and weights; a second call goes on there")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="of this machine; another number gives other weights")
    parser.add_argument("--compile", action="store_true", help="a fifth faster with a C++ compiler; moves last digits")
    parser.add_argument("--only", nargs="+", choices=STAGES, default=[], metavar="STAGE", help=", ".join(STAGES))
    asked = parser.parse_args(arguments)
    training = Training(folder=asked.out, seed=asked.seed, threads=asked.threads, compiled=asked.compile)
    try:
        run(training, asked.only, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        print(f"stopped, and saved in {asked.out}; the same command goes on where it stopped")
        return INTERRUPTED
    except (GateFailed, NotYet) as error:
        print(error, file=sys.stderr)
        return 1 if isinstance(error, GateFailed) else 2
    print(f"weights: {asked.out / WEIGHTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
