"""Tokenizers made from a rule, so that a FLUX.1 can be built without a download. They spell, and know given words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from string import ascii_lowercase
from typing import Any

_LETTER_PAIRS = tuple(product(ascii_lowercase, repeat=2))


def clip_tokenizer(words: Sequence[str] = ()) -> Any:
    """CLIP's byte alphabet, pairs of letters, so that a sentence fits, and `words`.

    The end token, where CLIP pools, is last.
    """
    from transformers import CLIPTokenizer

    alphabet = _byte_alphabet()
    merges = [(first, second + end) for end in ("", "</w>") for first, second in _LETTER_PAIRS]
    for word in words:
        merges += _joins([*word[:-1], word[-1] + "</w>"], merges)
    merged = [first + second for first, second in merges]
    tokens = [*alphabet, *(character + "</w>" for character in alphabet), *merged, "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


def _joins(parts: list[str], merges: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Merges that are still needed to make one token of a word's `parts`, after those there are, in their order."""
    for first, second in merges:
        index = 0
        while index < len(parts) - 1:
            if (parts[index], parts[index + 1]) == (first, second):
                parts[index : index + 2] = [first + second]
            index += 1
    joins = []
    while len(parts) > 1:
        joins.append((parts[0], parts[1]))
        parts[:2] = [parts[0] + parts[1]]
    return joins


def t5_tokenizer(words: Sequence[str] = ()) -> Any:
    """Printable ASCII, pairs of letters, beginnings of words and `words`; else unknown to it (and left to CLIP).

    The scores, log-probabilities in name only, make every longer token win over the shorter ones that spell it.
    """
    from transformers import T5Tokenizer

    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    characters = [("▁", -4.0), *((chr(code), -4.0) for code in range(33, 127))]
    beginnings = [("▁" + letter, -5.0) for letter in ascii_lowercase]
    pairs = [token for pair in map("".join, _LETTER_PAIRS) for token in ((pair, -5.0), ("▁" + pair, -6.0))]
    longer = [("▁" + word, -5.5) for word in words if len(word) > 2]
    return T5Tokenizer(vocab=[*special, *characters, *beginnings, *pairs, *longer], extra_ids=0, model_max_length=512)


def _byte_alphabet() -> list[str]:
    """The 256 characters that stand for bytes in GPT-2's and CLIP's tokenizers (openai/gpt-2, encoder.py)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]
