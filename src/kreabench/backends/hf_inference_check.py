"""What a target of the `hf_inference` back end lacks, found without sending anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kreabench.backends.options import HfInferenceOptions
from kreabench.backends.service_check import (
    host_of,
    is_address,
    is_loopback,
    key_problems,
    level_problems,
    limit_problems,
)
from kreabench.core.errors import Problem
from kreabench.core.specs import AccelerationSpec, TargetSpec

_DEFAULT_KEY_VARIABLE = "HF_TOKEN"
_TOKEN_PREFIX = "hf_"  # noqa: S105 - how the library tells a token of Hugging Face from a provider's key
_OWN_ENDPOINT = "hf-inference"
_ON = {"1", "ON", "YES", "TRUE"}


def key_variable(target: TargetSpec) -> str:
    """Name of the environment variable that holds the key."""
    return target.key_env or _DEFAULT_KEY_VARIABLE


def check_target(
    target: TargetSpec,
    options: HfInferenceOptions,
    accelerations: Sequence[AccelerationSpec],
    environ: Mapping[str, str],
) -> tuple[Problem, ...]:
    """All problems; no value of the key is in any."""
    key = f"target.{target.name}"
    return (
        *_check_provider(key, options),
        *_check_address(key, target, options),
        *limit_problems(key, options.request_timeout_s, options.max_download_bytes, options.download_hosts),
        *_check_inputs(key, target),
        *level_problems(target, accelerations),
        *_check_environment(target, options, environ),
    )


def text_to_image_providers() -> tuple[str, ...]:
    """As the installed huggingface_hub knows them. Imports a part of it (0.3 s), no torch."""
    from huggingface_hub.inference._providers import PROVIDERS

    return tuple(name for name, tasks in PROVIDERS.items() if "text-to-image" in tasks)


def _check_provider(key: str, options: HfInferenceOptions) -> Iterator[Problem]:
    known = text_to_image_providers()
    if options.provider not in known:
        yield Problem(
            key=f"{key}.options.provider",
            found=repr(options.provider),
            expected=f"one of {', '.join(known)}: the providers of text-to-image that huggingface_hub knows",
        )
    if options.bill_to is not None and not options.routed:
        yield Problem(
            key=f"{key}.options.bill_to",
            found=repr(options.bill_to),
            expected="nothing, as a provider's own key (routed: false) is billed by the provider",
        )


def _check_address(key: str, target: TargetSpec, options: HfInferenceOptions) -> Iterator[Problem]:
    url = options.base_url
    if url is not None and options.provider != _OWN_ENDPOINT:
        expected = f"{_OWN_ENDPOINT}, as the library asks base_url in place of any provider"
        yield Problem(key=f"{key}.options.provider", found=options.provider, expected=expected)
    host = host_of(url) if url is not None else ""
    loopback = is_loopback(host)
    if url is not None and not is_address(url, http=loopback):
        # Nothing of the address is shown: it may hold a password.
        expected = "an https address without user name, password, query or fragment (http on this machine only)"
        yield Problem(key=f"{key}.options.base_url", found="something else", expected=expected)
    if loopback != target.emulated:
        expected = (
            "a loopback address, as the target is emulated"
            if target.emulated
            else f"another host, as target {target.name} is not marked `emulated`"
        )
        yield Problem(key=f"{key}.options.base_url", found=host or "none", expected=expected)


def _check_inputs(key: str, target: TargetSpec) -> Iterator[Problem]:
    if target.task != "text-to-image":
        yield Problem(key=f"{key}.task", found=target.task, expected="text-to-image")
    if "prompt" not in target.inputs:
        yield Problem(key=f"{key}.inputs", found="no prompt", expected="the inputs of the endpoint, prompt among them")
    if "num_images" in target.inputs and target.inputs["num_images"].maximum != 1:
        expected = "a maximum of 1, or no such input: a call of text_to_image gives one picture"
        yield Problem(key=f"{key}.inputs.num_images", found="more than one picture", expected=expected)


def _check_environment(
    target: TargetSpec, options: HfInferenceOptions, environ: Mapping[str, str]
) -> Iterator[Problem]:
    key_env = key_variable(target)
    problems = tuple(key_problems(key_env, target, environ))
    yield from problems
    routed = environ.get(key_env, "").startswith(_TOKEN_PREFIX)
    if not problems and routed != options.routed and options.base_url is None:
        # The library goes by the key alone; the report would name the wrong way, and the wrong account would pay.
        yield Problem(
            key=f"target.{target.name}.options.routed",
            found=str(options.routed).lower(),
            expected=f"{str(not options.routed).lower()}, going by the key in {key_env}: tokens of Hugging Face begin "
            f"with {_TOKEN_PREFIX}, a provider's keys do not",
        )
    if environ.get("HF_HUB_OFFLINE", "").upper() in _ON:
        yield Problem(
            key="HF_HUB_OFFLINE",
            found="set",
            expected="not set, as the library then sends nothing at all",
            remedy=f"Unset it, or leave out target {target.name}.",
        )
