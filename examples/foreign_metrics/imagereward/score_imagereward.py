"""ImageReward (Xu et al., arXiv 2304.05977) as a foreign metric of kreabench. See the README beside this file.

Runs in an environment of its own, with the package `image-reward` 1.5; the model stays the authors' own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import kreabench_foreign as foreign

MODEL_TOKENS = 35
"""What the authors' `score` reads of a prompt."""


def arguments():
    parser = argparse.ArgumentParser(description="ImageReward for kreabench")
    parser.add_argument("--weights", required=True, help="ImageReward.pt, of THUDM/ImageReward on the Hub")
    parser.add_argument("--med-config", required=True, help="med_config.json, of the same place")
    parser.add_argument("--weights-sha256", help="refuse any other file: it is a pickle, which may hold code")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    return parser.parse_args()


def load():
    options = arguments()
    digest = foreign.sha256_of(options.weights)
    if options.weights_sha256 and digest != options.weights_sha256:
        sys.exit(f"{options.weights} has SHA-256 {digest}, and not {options.weights_sha256}")
    import ImageReward
    import torch

    device = options.device if options.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    # Both files by path: the package downloads nothing then, but the tokeniser, which the README fetches beforehand.
    model = ImageReward.load(options.weights, device=device, med_config=options.med_config)
    tokenizer = model.blip.tokenizer

    def score(items):
        for item in items:
            with torch.no_grad():
                value = model.score(item.prompt, item.image)
            yield foreign.Answer(value=value, truncated=len(tokenizer(item.prompt).input_ids) > MODEL_TOKENS)

    hello = {
        "name": "ImageReward-v1.0",
        "version": "image-reward 1.5",
        "weights_sha256": digest,
        "med_config_sha256": foreign.sha256_of(options.med_config),
        "device": device.partition(":")[0],
    }
    return hello, score


if __name__ == "__main__":
    foreign.serve(load)
