"""The table of metrics. A new one is a module, with its options class in it, and a row here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from kreabench.core.registry import load_object
from kreabench.core.specs import MetricSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricRow:
    """What is known of a metric without importing it."""

    location: str
    """`module:Class` of the metric."""
    options: str
    """`module:Class` of its options, a dataclass in a module that imports nothing heavy."""
    per: Literal["image", "set"] = "image"
    """Whether it has a score a picture or one a setting."""
    unit: str
    better: Literal["higher", "lower", "reference"]
    """`reference`: neither is better, a shift from the reference is a change of look."""
    range: tuple[float | None, float | None]
    """Least and greatest possible value; None is unbounded."""
    needs_reference: bool = False
    summary: str
    bias: str
    """What it is known to get wrong."""
    needs_prompt: bool = False
    """Whether it compares with the prompt's words, which redux may be without."""
    weights: str = "none"
    """What it loads."""
    licence: str = "none needed"
    """Of these weights."""
    cost: str
    """About how long a picture takes, or what it costs."""
    reads_questions: bool = False
    """Whether the score depends on the questions beside a prompt, and on what to look for."""
    paid: bool = False
    """Whether scores cost dollars: it asks the purse before each picture."""
    from_options: tuple[str, ...] = ()
    """Fields of this row that the options of the same name decide."""


METRICS: dict[str, MetricRow] = {
    "clip_score": MetricRow(
        location="kreabench.metrics.clip_score:ClipScore",
        options="kreabench.metrics.clip_score:ClipScoreOptions",
        unit="100 × cosine",
        better="higher",
        range=(0.0, 100.0),
        needs_prompt=True,
        summary="how well the picture fits its prompt (CLIP score)",
        bias="sees a bag of words and the centred square, reads 77 tokens, and punishes rich detail",
        weights="CLIP ViT-L/14 of OpenAI, or another model of open_clip",
        licence="MIT (OpenAI's CLIP)",
        cost="one pass of the model, shared with aesthetic and clip_iqa",
    ),
    "pickscore": MetricRow(
        location="kreabench.metrics.pickscore:PickScore",
        options="kreabench.metrics.pickscore:PickScoreOptions",
        unit="logit",
        better="higher",
        range=(None, None),
        needs_prompt=True,
        summary="which picture people would pick for the prompt (PickScore)",
        bias="learned from choices between pictures of the Stable Diffusion era; compare within one prompt only",
        weights="yuvalkirstain/PickScore_v1 (CLIP ViT-H/14)",
        licence="none stated by its authors; the code is MIT",
        cost="one pass of ViT-H/14",
    ),
    "hpsv2": MetricRow(
        location="kreabench.metrics.hpsv2:Hpsv2",
        options="kreabench.metrics.hpsv2:Hpsv2Options",
        unit="cosine",
        better="higher",
        range=(-1.0, 1.0),
        needs_prompt=True,
        summary="human preference for the prompt (HPS v2.1)",
        bias="comparable within one prompt only; learned from models before FLUX",
        weights="xswu/HPSv2, HPS_v2.1_compressed.pt (CLIP ViT-H/14)",
        licence="Apache-2.0",
        cost="one pass of ViT-H/14",
    ),
    "clip_iqa": MetricRow(
        location="kreabench.metrics.clip_iqa:ClipIqa",
        options="kreabench.metrics.clip_iqa:ClipIqaOptions",
        unit="probability",
        better="higher",
        range=(0.0, 1.0),
        summary="which of two opposite descriptions the picture is nearer to, such as natural and waxy skin (CLIP-IQA)",
        bias="cannot tell noise from a picture; moves with the content, so compare within one prompt",
        weights="the model of clip_score",
        licence="as of clip_score",
        cost="nothing beside clip_score: the same pass",
    ),
    "aesthetic": MetricRow(
        location="kreabench.metrics.aesthetic:Aesthetic",
        options="kreabench.metrics.aesthetic:AestheticOptions",
        unit="rating, about 1 to 10",
        better="higher",
        range=(None, None),
        summary="how people would rate the picture's beauty (LAION Aesthetics V2)",
        bias="Krea's makers: highly biased towards depicting women, blurry backgrounds, overly soft textures, and "
        "bright images",
        weights="sac+logos+ava1-l14-linearMSE.pth on CLIP ViT-L/14 of OpenAI",
        licence="Apache-2.0 (the head), MIT (OpenAI's CLIP)",
        cost="nothing beside clip_score with ViT-L/14: the same pass",
    ),
    "psnr": MetricRow(
        location="kreabench.metrics.fidelity:Psnr",
        options="kreabench.metrics.fidelity:FidelityOptions",
        unit="dB",
        better="higher",
        range=(0.0, None),
        needs_reference=True,
        summary="closeness to the reference picture, pixel by pixel",
        bias="another, equally good picture scores as badly as a ruined one",
        cost="milliseconds",
    ),
    "ssim": MetricRow(
        location="kreabench.metrics.fidelity:Ssim",
        options="kreabench.metrics.fidelity:FidelityOptions",
        unit="1",
        better="higher",
        range=(-1.0, 1.0),
        needs_reference=True,
        summary="closeness to the reference picture in local structure",
        bias="a shift of a few pixels destroys it",
        cost="some 40 ms at 1024²",
    ),
    "ms_ssim": MetricRow(
        location="kreabench.metrics.fidelity:MsSsim",
        options="kreabench.metrics.fidelity:FidelityOptions",
        unit="1",
        better="higher",
        range=(0.0, 1.0),
        needs_reference=True,
        summary="closeness to the reference picture in structure over five scales",
        bias="a shift of layout destroys it; needs more than 160 pixels a side",
        cost="a fifth more than ssim",
    ),
    "lpips": MetricRow(
        location="kreabench.metrics.perceptual:Lpips",
        options="kreabench.metrics.perceptual:LpipsOptions",
        unit="1",
        better="lower",
        range=(0.0, None),
        needs_reference=True,
        summary="perceptual distance from the reference picture (LPIPS)",
        bias="low-level: another, equally good layout counts as a loss",
        weights="AlexNet of torchvision; its linear layers come with torchmetrics",
        licence="BSD-3-Clause (AlexNet), BSD-2-Clause (LPIPS)",
        cost="some 0.8 s of one CPU core at 1024²",
    ),
    "dists": MetricRow(
        location="kreabench.metrics.perceptual:Dists",
        options="kreabench.metrics.perceptual:DistsOptions",
        unit="1",
        better="lower",
        range=(0.0, None),  # a negative covariance takes it a little past 1
        needs_reference=True,
        summary="distance from the reference picture in structure and texture (DISTS)",
        bias="forgives resampled texture, not another layout; sees pictures shrunk to 256 pixels a side",
        weights="VGG-16 of torchvision; DISTS' own weights come with torchmetrics",
        licence="BSD-3-Clause (VGG-16), MIT (DISTS)",
        cost="some 1 s of one CPU core",
    ),
    "dino_similarity": MetricRow(
        location="kreabench.metrics.dino:DinoSimilarity",
        options="kreabench.metrics.dino:DinoOptions",
        unit="cosine",
        better="higher",
        range=(-1.0, 1.0),
        needs_reference=True,
        summary="whether the picture shows the same as its reference (DINOv2 cosine)",
        bias="semantic: blind to small damage, and sees the centred square",
        weights="facebook/dinov2-base",
        licence="Apache-2.0",
        cost="one pass of ViT-B/14, some 0.5 s of one CPU core",
    ),
    "colourfulness": MetricRow(
        location="kreabench.metrics.look:Colourfulness",
        options="kreabench.metrics.look:LookOptions",
        unit="1",
        better="reference",
        range=(0.0, None),
        summary="strength of colours (Hasler and Süsstrunk)",
        bias="says nothing of whether the colours fit",
        cost="milliseconds",
    ),
    "saturation": MetricRow(
        location="kreabench.metrics.look:Saturation",
        options="kreabench.metrics.look:LookOptions",
        unit="share",
        better="reference",
        range=(0.0, 1.0),
        summary="mean saturation (HSV)",
        bias="dark pixels count as saturated",
        cost="milliseconds",
    ),
    "clipping": MetricRow(
        location="kreabench.metrics.look:Clipping",
        options="kreabench.metrics.look:LookOptions",
        unit="share",
        better="reference",
        range=(0.0, 1.0),
        summary="share of pixels that are crushed to black or burnt out",
        bias="night scenes and white backgrounds clip on purpose",
        cost="milliseconds",
    ),
    "blurred_tiles": MetricRow(
        location="kreabench.metrics.look:BlurredTiles",
        options="kreabench.metrics.look:LookOptions",
        unit="share",
        better="reference",
        range=(0.0, 1.0),
        summary="share of the picture's tiles without fine detail: soft backgrounds, waxy skin",
        bias="sky and fog have no detail either",
        cost="milliseconds",
    ),
    "blur_effect": MetricRow(
        location="kreabench.metrics.look:BlurEffect",
        options="kreabench.metrics.look:LookOptions",
        unit="1",
        better="reference",
        range=(0.0, 1.0),
        summary="perceived blur (Crété-Roffet, scikit-image)",
        bias="flat pictures count as blurred",
        cost="some 0.1 s at 1024²",
    ),
    "laplacian_variance": MetricRow(
        location="kreabench.metrics.look:LaplacianVariance",
        options="kreabench.metrics.look:LookOptions",
        unit="levels²",
        better="reference",
        range=(0.0, None),
        summary="sharpness: variance of the Laplacian of the luma",
        bias="noise counts as sharpness",
        cost="milliseconds",
    ),
    "noise_sigma": MetricRow(
        location="kreabench.metrics.look:NoiseSigma",
        options="kreabench.metrics.look:LookOptions",
        unit="levels",
        better="reference",
        range=(0.0, None),
        summary="standard deviation of the noise, from wavelets (scikit-image)",
        bias="fine texture counts as noise",
        cost="some 0.1 s at 1024²",
    ),
    "drawn_accuracy": MetricRow(
        location="kreabench.metrics.drawn_accuracy:DrawnAccuracy",
        options="kreabench.metrics.drawn_accuracy:DrawnAccuracyOptions",
        unit="share",
        better="higher",
        range=(0.0, 1.0),
        needs_prompt=True,
        summary="how much of a caption of the drawn world is in the picture, read back from its pixels",
        bias="knows squares of the drawn world alone, counts every word alike, takes soft shapes for wrong, and "
        "JPEG with halved colours costs 20 points; a picture of another caption scores 0.29",
        cost="milliseconds",
    ),
    "judge": MetricRow(
        location="kreabench.metrics.judge:Judge",
        options="kreabench.metrics.judge:JudgeOptions",
        unit="probability",
        better="higher",
        range=(0.0, 1.0),
        needs_prompt=True,
        summary="a vision model's yes to questions about the picture (VQAScore style)",
        bias="that model's own; changes when its provider changes the model",
        weights="a service with OpenAI's chat interface",
        licence="the service's terms",
        cost="a call a question, in dollars",
        reads_questions=True,
        paid=True,
    ),
    "foreign": MetricRow(
        location="kreabench.metrics.foreign:Foreign",
        options="kreabench.metrics.foreign:ForeignOptions",
        unit="1",
        better="higher",
        range=(None, None),
        summary="a metric that runs as a program of its own",
        bias="as its authors say",
        weights="its own",
        licence="its own",
        cost="its own",
        from_options=("unit", "better", "range", "needs_reference", "needs_prompt", "summary", "bias", "licence"),
    ),
    "kid": MetricRow(
        location="kreabench.metrics.sets:Kid",
        options="kreabench.metrics.sets:InceptionOptions",
        per="set",
        unit="1",
        better="lower",
        range=(None, None),
        needs_reference=True,
        summary="distance of the set from the reference's (KID, unbiased, so it may be below 0)",
        bias="Inception's idea of pictures; small sets are noisy; below 0 where two settings draw nearly the same "
        "pictures",
        weights="Inception V3 of the original FID",
        licence="Apache-2.0",
        cost="one pass of Inception V3, shared with fid",
    ),
    "fid": MetricRow(
        location="kreabench.metrics.sets:Fid",
        options="kreabench.metrics.sets:FidOptions",
        per="set",
        unit="1",
        better="lower",
        range=(0.0, None),
        needs_reference=True,
        summary="distance of the set from the reference's (FID)",
        bias="falls with the number of pictures, contradicts raters; refused under 2,048 unless forced",
        weights="Inception V3 of the original FID",
        licence="Apache-2.0",
        cost="one pass of Inception V3, shared with kid",
    ),
    "cmmd": MetricRow(
        location="kreabench.metrics.sets:Cmmd",
        options="kreabench.metrics.sets:CmmdOptions",
        per="set",
        unit="1000 × MMD²",
        better="lower",
        range=(None, None),
        needs_reference=True,
        summary="distance of the set from the reference's in CLIP's space (CMMD)",
        bias="CLIP's idea of pictures; small sets are noisy; the paper's biased estimator, an option, is above 0 even "
        "for sets of one kind",
        weights="CLIP ViT-L/14 at 336 pixels of OpenAI",
        licence="MIT (OpenAI's CLIP)",
        cost="one pass of the model",
    ),
    "vendi": MetricRow(
        location="kreabench.metrics.sets:Vendi",
        options="kreabench.metrics.sets:VendiOptions",
        per="set",
        unit="pictures",
        better="higher",
        range=(1.0, None),
        summary="how many different pictures the seeds of one prompt give, effectively (Vendi score)",
        bias="noise is diverse too; grows with the number of seeds, so compare equal numbers",
        weights="facebook/dinov2-base, or a model of open_clip",
        licence="Apache-2.0 (DINOv2)",
        cost="one pass of the model",
    ),
}


def row_of(spec: MetricSpec) -> MetricRow | None:
    """The row of a configured metric, with what its options decide; None for a kind of another version."""
    row = METRICS.get(spec.kind)
    if row is None or not row.from_options:
        return row
    said = {name: spec.options[name] for name in row.from_options if name in spec.options}
    if isinstance(said.get("range"), list):  # as JSON has it
        said["range"] = tuple(said["range"])
    return replace(row, **said)


def per_image(metrics: Iterable[MetricSpec]) -> tuple[MetricSpec, ...]:
    """Those with a score a picture."""
    return tuple(spec for spec in metrics if spec.per == "image")


def per_set(metrics: Iterable[MetricSpec]) -> tuple[MetricSpec, ...]:
    """Those with a score a setting."""
    return tuple(spec for spec in metrics if spec.per == "set")


def has_direction(spec: MetricSpec) -> bool:
    """Whether more, or less, of it is better; the others are read as shifts from the reference alone."""
    row = row_of(spec)
    return row is None or row.better != "reference"


def metric_class(kind: str) -> type[Any]:
    """The class of metric `kind`. Imports its module, which imports nothing heavy."""
    cls: type[Any] = load_object(METRICS[kind].location)
    return cls


def options_class(kind: str) -> type[Any]:
    """The options of metric `kind`. Imports its module, which imports nothing heavy."""
    cls: type[Any] = load_object(METRICS[kind].options)
    return cls


def range_in_words(row: MetricRow) -> str:
    """The least and greatest possible value."""
    low, high = row.range
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    return f"from {low:g}" if low is not None else f"up to {high:g}" if high is not None else "unbounded"
