"""Models that read prompts with a tokenizer of their own, such as SigLIP: where it comes from, and what it cuts."""

from __future__ import annotations

import os
from pathlib import Path

import open_clip
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from kreabench.core.errors import EnvironmentProblem
from kreabench.metrics import random_clip
from kreabench.metrics.aesthetic import Aesthetic
from kreabench.metrics.base import ScoreItem
from kreabench.metrics.clip_score import ClipScore
from kreabench.metrics.clip_weights import ClipWeightsNeed
from tests.metric_support import shared
from tests.support import picture

CONTEXT = 8
WORDS = {"<pad>": 0, "<unk>": 1, "a": 2, "red": 3, "blue": 4, "bicycle": 5, "house": 6}


@pytest.fixture(autouse=True)
def architecture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A tiny model shaped as SigLIP: words of its own, eight of them at most."""
    text = {
        **random_clip.CONFIG["text_cfg"],
        "context_length": CONTEXT,
        "vocab_size": len(WORDS),
        "no_causal_mask": True,
    }
    own = {
        "hf_tokenizer_name": "someone/tiny-words",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "pool_type": "last",
    }
    config = {**random_clip.CONFIG, "text_cfg": {**text, **own}}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny-siglip", config)
    monkeypatch.setenv("KREABENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    words = Tokenizer(models.WordLevel(WORDS, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>")
    made.save_pretrained(tmp_path / "words")
    return tmp_path / "words"


def metric(folder: Path | None) -> ClipScore:
    options = {"model": "tiny-siglip", "weights": "random", "untrained": True, "device": "cpu"}
    return ClipScore(**options, tokenizer="" if folder is None else str(folder))


def item(prompt: str) -> ScoreItem:
    return ScoreItem(image=picture(64, 64), prompt=prompt, reference=None, sha256="one")


def test_scores_are_those_of_the_model_with_its_own_words(folder: Path) -> None:
    ours = metric(folder)
    identity = ours.open(shared())
    prompts = ["a red bicycle", "A blue house!", "a red"]

    found = [score.value for score in ours.score([item(prompt) for prompt in prompts])]

    encoder = ours._encoder
    assert encoder is not None
    read = open_clip.tokenizer.HFTokenizer(str(folder), context_length=CONTEXT, clean="canonicalize")
    with torch.inference_mode():
        texts = encoder._model.encode_text(read(prompts), normalize=True)
        image = encoder._model.encode_image(encoder._prepare(picture(64, 64))[None], normalize=True)
    assert found == pytest.approx((100 * (texts @ image[0])).clamp(min=0).tolist(), abs=1e-4)
    assert len(set((texts @ image[0]).tolist())) == 3
    assert len(identity["tokenizer_sha256"]) == 64


def test_what_does_not_fit_is_said_to_be_cut(folder: Path) -> None:
    ours = metric(folder)
    ours.open(shared())

    scores = ours.score([item("a " * CONTEXT), item("a " * (CONTEXT + 1))])

    assert [score.truncated for score in scores] == [False, True]
    assert scores[0].value == scores[1].value


def test_without_a_tokenizer_its_source_is_asked_for_before_anything_is_drawn() -> None:
    (need,) = metric(None).needs
    problem = need.problem(os.environ)

    assert problem is not None
    assert (problem.key, problem.found) == ("options.tokenizer", "nothing")
    assert "hub:someone/tiny-words@REVISION" in problem.expected
    with pytest.raises(EnvironmentProblem, match="tokenizer of its own"):
        metric(None).open(shared())


def test_a_folder_that_holds_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")

    with pytest.raises(EnvironmentProblem, match=r"options\.tokenizer: found .*empty"):
        metric(tmp_path / "empty").open(shared())


def test_a_metric_of_pictures_alone_needs_no_tokenizer_and_shares_the_pass_of_one_that_does(folder: Path) -> None:
    options = {"model": "tiny-siglip", "weights": "random", "head": "random", "untrained": True, "device": "cpu"}
    alone = Aesthetic(**options)
    alone.open(shared())
    scoring, score, beside = shared(), metric(folder), Aesthetic(**options, tokenizer=str(folder))
    score.open(scoring)
    beside.open(scoring)

    assert alone.score([item("")])[0].status == "ok"
    assert score._encoder is beside._encoder


def test_another_tokenizer_is_another_score(folder: Path) -> None:
    before = metric(folder).open(shared())
    (folder / "tokenizer_config.json").write_text((folder / "tokenizer_config.json").read_text() + "\n")

    assert metric(folder).open(shared()) != before


def test_a_tokenizer_may_come_from_the_hub() -> None:
    need = ClipWeightsNeed(model="tiny-siglip", weights="random", tokenizer="hub:someone/tiny-words@" + "0" * 40)

    problem = need.problem(os.environ)

    assert need.fetchable
    assert problem is not None
    assert problem.key == "options.tokenizer"
