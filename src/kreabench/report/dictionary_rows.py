"""What the columns of the tables mean, once for all files; data, in the order in which it is looked up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meaning:
    """A column, or a family of them."""

    column: str
    """Pattern of the whole name; a group `name` is told in the meaning, `part` is one of ESTIMATE_PARTS."""
    type: str
    unit: str
    """`{metric}` stands for the unit of the metric `name`."""
    meaning: str


ESTIMATE_PARTS = {
    "_low": (False, "lower end of its 95 % interval"),
    "_high": (False, "upper end of its 95 % interval"),
    "_n": (True, "independent observations behind it (timings, or prompts)"),
}
"""What follows the name of an estimate: whether it is a count, and its meaning."""

_PART = r"(?P<part>_low|_high|_n)?"
_METRIC = r"score_(?P<name>.+)"


def _text(column: str, meaning: str) -> Meaning:
    return Meaning(column, "text", "", meaning)


def _count(column: str, meaning: str, unit: str = "") -> Meaning:
    return Meaning(column, "integer", unit, meaning)


def _number(column: str, unit: str, meaning: str) -> Meaning:
    return Meaning(column, "number", unit, meaning)


def _flag(column: str, meaning: str) -> Meaning:
    return Meaning(column, "boolean", "", meaning)


COMMON = (
    _text("run", "Letter of the run, where the report is of several"),
    _text("run_name", "Name of the run"),
    _text("setting_id", "Id of the setting: a hash of all that defines it, equal in every run that draws the same"),
    _text("setting", "What people call the setting"),
    _text("target", "Model on a back end, as configured"),
    _text("task", "text-to-image, image-to-image or redux"),
    _text("acceleration", "Acceleration, as configured"),
    _count("steps", "Denoising steps asked for; empty where the endpoint has no such parameter"),
    _number("guidance", "", "Guidance scale asked for; empty where the endpoint has no such parameter"),
    _number("strength", "1", "Of image-to-image: how far the input picture may be changed"),
    _count("width", "Width asked for", "px"),
    _count("height", "Height asked for", "px"),
    _count("num_images", "Pictures a request"),
    _text("output_format", "File format asked for: png or jpeg"),
    _count("concurrency", "Requests in flight at once; more than 1 only at hosted targets and under load"),
    _count("batch_size", "Requests that one call draws, at most; more than 1 only at local targets under load"),
    _number("rate_per_s", "1/s", "Requests that arrive in a second whatever is in flight; empty without an open loop"),
    _count("replicas", "Local workers that share one queue; more than 1 only under load"),
    _text("reference_id", "Setting that it is compared with, its own id for a reference; empty without one"),
    _text("metric", "Name of the metric, as configured"),
    _text("kind", "Kind of the metric"),
    _flag("untrained", "Whether the metric's own weights are random: its values mean nothing"),
    _text(
        "notice",
        "What to know of the model, and what keeps its numbers from being real: untrained weights, an emulated service",
    ),
)
"""Columns of several files."""

_SAMPLES = (
    _text("request_id", "Id of the request: one setting, prompt, seed and repeat"),
    _text("group_id", "Load of the model that drew it; of a later pass with the pass behind it"),
    _text("prompt_id", "Id of the prompt"),
    _text("prompt", "The prompt, whole"),
    _text("category", "Category of the prompt; empty without one"),
    _count("seed", "Seed of the request; picture k is drawn with seed + k where the back end lets us choose"),
    _count("repeat", "0 for the first time the request was drawn"),
    _count("attempt", "1 for the first try; a later one is delivered but never a timing"),
    _text("status", "ok or failed"),
    _text("error_type", "Why it failed, in one word"),
    _text("error_stage", "Where it failed"),
    _text("error_message", "Why it failed, without paths and keys"),
    _text("started_utc", "When it began, ISO 8601"),
    _count("steps_run", "Denoising steps that ran"),
    _flag("timing_valid", "Whether its times enter medians: first attempt, no first call, nothing in the way"),
    _flag("first_call", "First call of its setting after a load or of its service after connecting"),
    _number("end_to_end_s", "s", "From asking to having all pictures in memory"),
    _number("residual_s", "s", "Part of end_to_end_s that no stage explains"),
    _number("resolution_s", "s", "How coarsely the edges of a hosted request's stages could be seen"),
    _count("stage_(?P<name>.+)_allocated_bytes", "Peak of torch's allocator during the stage {name}", "bytes"),
    _count("stage_(?P<name>.+)_reserved_bytes", "Peak of what torch's allocator reserved in the stage {name}", "bytes"),
    _number("stage_(?P<name>.+)_s", "s", "Time in the stage {name}"),
    _count("peak_rss_bytes", "Peak resident memory of the worker process on the host", "bytes"),
    _count("peak_allocated_bytes", "Peak of torch's allocator on the device", "bytes"),
    _count("peak_reserved_bytes", "Peak of what torch's allocator reserved on the device", "bytes"),
    _count("driver_process_bytes", "Most that the driver saw of the process on the device", "bytes"),
    _count("driver_device_bytes", "Most that the driver saw on the device, other processes included", "bytes"),
    _number("energy_j", "J", "Energy of the whole device during the request"),
    _number("sm_clock_mhz", "MHz", "Median clock of the multiprocessors"),
    _number("sm_clock_min_mhz", "MHz", "Lowest clock of the multiprocessors"),
    _number("temperature_c", "°C", "Highest temperature of the device"),
    _text("throttle_reasons", "Why the driver held the clock down, separated by semicolons"),
    _count("foreign_processes", "Other processes that were computing on the device"),
    _number("reference_tflop", "10¹² operations", "Work of the request with nothing skipped"),
    _number("done_tflop", "10¹² operations", "Work really done"),
    _number("floor_s", "s", "Least time that the device could take for it"),
    _number("share_of_floor", "1", "floor_s over the time measured"),
    _text("flags", "What makes the numbers doubtful, separated by semicolons"),
    _text("worker", "Which of several workers drew it: cuda:1, cpu #2; empty where there was but one"),
    _count("batch", "Requests drawn in the same call, itself included; of local targets under load"),
    _number("waited_s", "s", "From its intended start until a local worker took it; under load"),
    _number("service_s", "s", "From there until the pictures of its call were encoded and stored; under load"),
    _text("beside", "Targets that other workers were drawing meanwhile; empty where none were"),
    _text("service_request_id", "What the hosted service calls the request"),
    _count("service_attempts", "1, and one more for each read that was repeated"),
    _count("polls", "Status answers read"),
    _number("queue_s", "s", "Time in the service's queue"),
    _number("inference_s", "s", "Time of the service's work, as it reports it"),
    _text("runner", "Which machine of the service drew it, by its name for it"),
    _number("billable_units", "", "What the service counted for its bill"),
    _text("observed_by", "How the edges of queue and inference were seen"),
    _number("model_s", "s", "The model's own time, as the service reports it"),
    _flag("first_on_runner", "First request of the session that the runner served"),
    _flag("rerouted", "It went back into the queue or to another runner: never a timing"),
    _flag("recovered", "Submitted by an earlier session, only fetched by this one: never a timing"),
    _count("in_flight", "Requests of the session under way when it ended, itself included"),
    _count("running", "Those of them that the service was working on"),
    _number("usd", "USD", "What the request cost"),
    _text("usd_basis", "Where the dollars come from: billed, price_list, device_hour or none"),
    _number("list_usd", "USD", "By the price list, where the dollars were billed"),
    _count("image_index", "Picture of the request, from 0; empty without a picture"),
    _text("image_path", "File of the picture, below the run directory"),
    _text("image_sha256", "SHA-256 of the file"),
    _count("image_size_bytes", "Size of the file", "bytes"),
    _count("image_width", "Width as delivered", "px"),
    _count("image_height", "Height as delivered", "px"),
    _text("image_format", "What the file is: png, jpeg or webp"),
    _count("image_seed", "Seed that the picture was drawn with"),
    _flag("nsfw", "Whether a safety checker flagged the picture; empty where none looked"),
    _number("safety_check_s", "s", "Time of the safety checker, after end_to_end_s ended"),
    _text("degenerate", "What the picture is instead of one: black, constant, noise or nan"),
    _text(f"{_METRIC}_status", "Score by {name}: ok, infinite, not_applicable or failed; empty without a score"),
    _text(f"{_METRIC}_reason", "Why there is no score by {name}, without paths and keys"),
    _flag(f"{_METRIC}_truncated", "Whether the prompt was cut to fit the text encoder of {name}"),
    _flag(f"{_METRIC}_untrained", "Whether the weights of {name} are random: its values mean nothing"),
    _text(f"{_METRIC}_notes", "What a reader of the score by {name} must know"),
    _number(f"{_METRIC}_usd", "USD", "What the score by {name} cost"),
    _number(_METRIC, "{metric}", "Score of the picture by {name}"),
)

_SCORES = (
    _number("value", "of the metric", "Score of the picture; empty wherever the status is not ok"),
    _text("status", "ok, infinite, not_applicable or failed; unscored where the metric has not looked at it yet"),
    _text("reason", "Why there is no value"),
    _flag("truncated", "Whether the prompt was cut to fit the text encoder"),
    _text("notes", "What a reader of the value must know"),
    _number("usd", "USD", "What the score cost"),
)

_SETTINGS = (
    _flag("is_reference", "Whether fidelity is measured against it"),
    _count("requested", "Requests planned"),
    _count("ok", "Requests that delivered"),
    _count("failed", "Requests that failed for good"),
    _count("images", "Pictures delivered"),
    _count("degenerate", "Pictures that are none: black, of one colour, noise"),
    _text("degenerate_kinds", "Their kinds, with how many"),
    _number(f"latency_median_s{_PART}", "s", "Median seconds of a request, end to end, of those fit for timing"),
    _number(rf"latency_p(?P<name>[\d.]+)_s{_PART}", "s", "Percentile {name} of the seconds of a request"),
    _number("stage_(?P<name>.+)_mean_s", "s", "Mean seconds in the stage {name}; means of all stages add up"),
    _text("peak_memory_kind", "allocated (by torch on the device) or resident (of the worker on the host)"),
    _count("peak_memory_max_bytes", "Highest peak of memory of all delivered requests", "bytes"),
    _number("peak_memory_median_bytes", "bytes", "Median of their peaks"),
    _number("usd_per_image", "USD", "Mean over delivered pictures with a price"),
    _number("usd_total", "USD", "All requests, failed ones included; warm-ups are in none"),
    _number("usd_failed", "USD", "What failed requests cost"),
    _text("usd_basis", "Where the dollars come from: billed, price_list, device_hour"),
    _number("reference_tflop", "10¹² operations", "Work of a request with nothing skipped"),
    _number("done_share", "1", "Work done over that"),
    _number("floor_s", "s", "Median of the least time that the device could take"),
    _number(f"share_of_floor{_PART}", "1", "Median share of what the device can do that was used"),
    _number(f"energy_per_image_j{_PART}", "J", "Median energy of a picture, of the whole device"),
    _number("sm_clock_mhz", "MHz", "Median clock of the multiprocessors"),
    _number("sm_clock_min_mhz", "MHz", "Lowest clock of the multiprocessors"),
    _number("temperature_max_c", "°C", "Highest temperature of the device"),
    _text("throttle_reasons", "Why the driver held the clock down, with the number of requests"),
    _count("peak_reserved_bytes", "Most that torch's allocator reserved on the device", "bytes"),
    _count("driver_process_bytes", "Most that the driver saw of the process", "bytes"),
    _count("driver_device_bytes", "Most that the driver saw of the device", "bytes"),
    _text("flags", "What makes the numbers doubtful, with the number of requests"),
    _number(f"{_METRIC}_mean{_PART}", "{metric}", "Mean over prompts of the scores by {name}"),
    _count(f"{_METRIC}_scored", "Pictures with a finite score by {name}"),
    _count(f"{_METRIC}_infinite", "Pictures identical to the reference's by {name}; not in the mean"),
    _count(f"{_METRIC}_not_applicable", "Pictures to which {name} does not apply"),
    _count(f"{_METRIC}_failed", "Pictures of which the score by {name} failed"),
    _count(f"{_METRIC}_unscored", "Pictures without a score by {name} yet"),
    _count(f"{_METRIC}_truncated", "Pictures whose prompt was cut for {name}"),
    _flag(f"{_METRIC}_untrained", "Whether the weights of {name} are random: its values mean nothing"),
)

_SHIFTS = (
    _number(f"shift{_PART}", "of the metric", "Mean over prompts of the score less that of the reference's picture"),
    _count("pairs", "Pairs of pictures behind it"),
    _count("left_out", "Pictures without a pair: one is missing, has no score, or has another size"),
)

_CATEGORIES = (
    _text("category", "Category of prompts; empty for those that have none"),
    _count("prompts", "Prompts of the category with a delivered picture"),
    _count("images", "Pictures delivered"),
    _number(f"mean{_PART}", "of the metric", "Mean over the prompts of the category"),
    _count("scored", "Pictures with a finite score"),
)

_SETS = (
    _text("status", "ok, infinite, not_applicable or failed"),
    _number("value", "of the metric", "Of all pictures of the setting together"),
    _count("pictures", "Pictures of the setting in the set"),
    _count("reference_pictures", "Pictures of the reference in its set"),
    _count("left_out", "Delivered pictures that are not in the set"),
    _text("reason", "Why there is no value, without paths and keys"),
    _text("notes", "What a reader of the value must know"),
    _number("standard_error", "of the metric", "Jackknife over prompts"),
    _number("(?P<name>[a-z][a-z0-9_]*)", "", "Detail of the metric that made the value: {name}"),
)

_LOAD = (
    _text("arrivals", "poisson, fixed (at the rate of the load) or closed (so many in flight)"),
    _number("load", "", "Requests that arrive in a second; of a closed loop requests in flight"),
    _number("window_s", "s", "From the beginning to the end of the arrivals"),
    _count("planned", "Requests of the level; of a closed loop at most"),
    _count("sent", "Requests that were sent, and answered where the level was cut short"),
    _count("ok", "Requests that delivered"),
    _count("failed", "Requests that failed"),
    _count("unanswered", "Requests without an answer when the level was ended"),
    _flag(
        "cut_short",
        "Whether the level was ended before its time, or goes on; what is unanswered is then left out",
    ),
    _number("objective_s", "s", "Latency from which a request is no good"),
    _text("objective", "kept, broken or undecided: whether enough requests were good"),
    _number(f"throughput_per_s{_PART}", "1/s", "Delivered within the window"),
    _number(f"goodput_per_s{_PART}", "1/s", "Delivered within the window and within the objective"),
    _number(f"good_share{_PART}", "1", "Delivered within the objective, of all sent"),
    _number(f"error_share{_PART}", "1", "Failed or unanswered, of all sent"),
    _number(f"latency_s{_PART}", "s", "Median from the intended start to the last byte"),
    _number(f"p(?P<name>90|95|99)_s{_PART}", "s", "{name}th percentile of the same"),
    _count("independent", "How many independent latencies those delivered are worth"),
    _number(f"growth_per_s{_PART}", "1/s", "By how much the queue grew in the second half of the window"),
    _flag("grows", "Whether it is established that it grew"),
    _flag(
        "overloaded", "Whether it is established that it grew, that fewer were delivered than came, or that 5 % fail"
    ),
    _number("mean_batch", "", "Requests a call, the mean over calls; empty for hosted targets"),
    _number("median_waited_s", "s", "Median of the waiting for a local worker; empty for hosted targets"),
    _number("median_service_s", "s", "Median of what a local worker was busy with a call; empty for hosted targets"),
    _count("most_in_system", "Requests sent and unanswered at one instant, at most"),
    _count("left_in_system", "The same at the end of the window"),
    _number("lag_s", "s", "Greatest delay within the client, part of the latency"),
    _count("pairs", "Pictures that the lightest load has of the same prompt, seed and repeat"),
    _count("same_files", "Of these, how many are the very same file"),
    _number(f"knee{_PART}", "", "Load from which the service carries no more; in the unit of `load`"),
)

_VOTES = (
    _text("vote_id", "Id of the pair as it was handed out"),
    _text("at_utc", "When the vote was given, ISO 8601"),
    _text("voter", "Who voted, as given; people who share a name count as one"),
    _text("choice", "left, right, tie or both_bad, which is no preference"),
    _text("prompt_id", "Id of the prompt of both pictures"),
    _text("prompt", "The prompt, without paths and keys"),
    _count("seed", "Seed of both requests"),
    _text("(?P<name>left|right)_setting_id", "Id of the setting of the {name} picture"),
    _text("(?P<name>left|right)_setting", "What people call the setting of the {name} picture; voters did not see it"),
    _text("(?P<name>left|right)_request_id", "Request of the {name} picture"),
    _count("(?P<name>left|right)_image_index", "Which picture of its request the {name} one is, from 0"),
    _text("(?P<name>left|right)_image_sha256", "SHA-256 of the file of the {name} picture"),
    _number("seconds", "s", "From both pictures being in sight to the vote, by the voter's browser"),
)

OF_FILE: dict[str, tuple[Meaning, ...]] = {
    "samples": _SAMPLES,
    "scores": (*_SCORES, *_SAMPLES),
    "settings": _SETTINGS,
    "shifts": _SHIFTS,
    "categories": _CATEGORIES,
    "set_scores": (*COMMON, *_SETS),
    "load": _LOAD,
    "votes": _VOTES,
}
"""Name of a file → its own columns, looked up before COMMON; `scores` is a frame of the library."""
