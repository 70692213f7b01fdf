"""Tokenizers made from a rule, so that a FLUX.1 can be built without a download. They spell; they know no words."""

from __future__ import annotations

from itertools import product
from string import ascii_lowercase
from typing import Any

_LETTER_PAIRS = tuple(product(ascii_lowercase, repeat=2))


def clip_tokenizer() -> Any:
    """CLIP's byte alphabet, and pairs of letters, so that a sentence fits. The end token, where CLIP pools, is last."""
    from transformers import CLIPTokenizer

    alphabet = _byte_alphabet()
    merges = [(first, second + end) for end in ("", "</w>") for first, second in _LETTER_PAIRS]
    pairs = [first + second for first, second in merges]
    tokens = [*alphabet, *(character + "</w>" for character in alphabet), *pairs, "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


def t5_tokenizer() -> Any:
    """Printable ASCII, pairs of letters and beginnings of words; anything else is unknown to it (and left to CLIP).

    The scores, log-probabilities in name only, make every longer token win over the shorter ones that spell it.
    """
    from transformers import T5Tokenizer

    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    characters = [("▁", -4.0), *((chr(code), -4.0) for code in range(33, 127))]
    beginnings = [("▁" + letter, -5.0) for letter in ascii_lowercase]
    pairs = [token for pair in map("".join, _LETTER_PAIRS) for token in ((pair, -5.0), ("▁" + pair, -6.0))]
    return T5Tokenizer(vocab=[*special, *characters, *beginnings, *pairs], extra_ids=0, model_max_length=512)


def _byte_alphabet() -> list[str]:
    """The 256 characters that stand for bytes in GPT-2's and CLIP's tokenizers (openai/gpt-2, encoder.py)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]
