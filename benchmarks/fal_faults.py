"""The hosted path under faults, against the loopback fal's own account: nothing lost, nothing bought twice.

    python benchmarks/fal_faults.py [--requests N]

With 5 % resets after the request was read, 5 % refusals (429), 2 % server errors and 1 % answers that never come, every
request must end as one sample or one typed failure, none may be submitted again where the first may have run, and the
dollars must be those of the service's account, to the cent. A request whose fate is unknown counts at its list price:
the account knows better, so those are compared apart. Exits 1 when that is not so. Nothing leaves this machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from fal_runs import HostedRun, hosted_run

FAULTS = {"reset": 0.05, "rate_limit": 0.05, "server_error": 0.02, "hang_result": 0.005, "hang_submit": 0.005}
PRICE_USD = 0.025


def check(run: HostedRun, requests: int) -> list[str]:
    """What is wrong, in words."""
    wrong = []
    per_request = Counter(sample.request_id for sample in run.samples)
    if len(per_request) != requests or set(per_request.values()) != {1}:
        wrong.append(f"{len(per_request)} of {requests} requests ended, some more than once")
    untyped = [sample for sample in run.samples if sample.status == "failed" and sample.error is None]
    if untyped:
        wrong.append(f"{len(untyped)} failures without a type")
    twice = [entry for entry in run.truth.values() if entry["same_body_before"]]
    if twice:
        wrong.append(f"{len(twice)} jobs were made of a request that had made one before")
    return wrong


def dollars(run: HostedRun) -> tuple[float, float, float]:
    """By our account: known, and of unknown fate at list price; by the service's."""
    costs = [sample.cost for sample in run.samples] + [failure.cost for failure in run.failures]
    known = sum(cost.usd or 0.0 for cost in costs)
    unknown = sum(sample.cost.usd is None for sample in run.samples) * PRICE_USD
    return known, unknown, sum(entry["usd"] for entry in run.truth.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=400)
    requests = parser.parse_args().requests
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fal-faults-", dir=results) as name:
        run = hosted_run(
            Path(name),
            requests=requests,
            concurrency=20,
            service={"inference_s": "uniform:0.1,0.3", "runners": 20, "fault": FAULTS},
            options={"request_timeout_s": 3.0},
        )
    wrong = check(run, requests)
    kinds = Counter(sample.error.type if sample.error else "delivered" for sample in run.samples)
    struck = Counter(entry["fault"] for entry in run.truth.values() if entry["fault"])
    known, unknown, account = dollars(run)
    print(f"faults that struck a job: {dict(struck)}; refused attempts: {len(run.failures)}")
    print(f"ends of {requests} requests: {dict(kinds)} in {run.wall_s:.1f} s")
    print(f"dollars: ours {known:.4f} known + {unknown:.4f} of unknown fate at list price; the service's {account:.4f}")
    fate_usd = sum(
        entry["usd"]
        for entry in run.truth.values()
        if entry["request_id"] not in {s.hosted.service_request_id for s in run.samples if s.hosted}
    )
    if abs(known + fate_usd - account) > 0.005:
        wrong.append(f"known dollars and those of jobs whose fate we cannot know do not add up to {account:.4f}")
    if known + unknown < account - 0.005:
        wrong.append("the budget counted less than the service billed")
    for sentence in wrong:
        print(f"WRONG: {sentence}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
