"""The emulator serves what the configuration says: every endpoint, its ranges, its input pictures, its prices."""

from __future__ import annotations

import base64
import gc
import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import fal_client
import httpx
import pytest
import yaml
from fal_client.client import FalClientHTTPError
from PIL import Image

from kreabench.config.compose import conf_dir
from kreabench.core.errors import EnvironmentProblem
from kreabench.emulator.billing import Price, bill, read_prices
from kreabench.emulator.endpoints import read_endpoints
from tests.fal_emulator_support import ENDPOINT, HEADERS, SMALL, Served, arguments, client_of, served
from tests.support import encode_image, picture

IMAGE_TO_IMAGE = "fal-ai/flux/krea/image-to-image"
REDUX = "fal-ai/flux/krea/redux"
OWN = """
model: workflows/somebody/mixer
backend: fal
inputs:
  prompt: {type: string, required: true}
  image_urls: {type: image_urls, required: true}
  mode: {type: string, default: fast, values: [fast, slow]}
  num_images: {type: integer, default: 2, minimum: 1, maximum: 3}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    own = tmp_path_factory.mktemp("own") / "own.yaml"
    own.write_text(OWN)
    with served(endpoint=(str(own),), runners=4) as place:
        yield place


@pytest.fixture
def client(place: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[fal_client.SyncClient]:
    with client_of(place, monkeypatch) as client:
        yield client


def _data_uri(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def test_every_hosted_target_of_the_configuration_is_served() -> None:
    endpoints = read_endpoints()
    targets = [yaml.safe_load(file.read_text()) for file in (conf_dir() / "target").glob("*.yaml")]
    hosted = {target["model"] for target in targets if target.get("backend") == "fal" and "inputs" in target}
    assert set(endpoints) == hosted
    assert len(hosted) >= 7
    assert endpoints[IMAGE_TO_IMAGE].app == "fal-ai/flux"
    assert endpoints["fal-ai/flux-2-pro"].app == "fal-ai/flux-2-pro"
    assert endpoints[ENDPOINT].inputs["guidance_scale"].default == 4.5
    assert endpoints[ENDPOINT].price is not None


@pytest.mark.parametrize("endpoint", sorted(read_endpoints()))
def test_each_endpoint_answers_with_its_own_fields(client: fal_client.SyncClient, endpoint: str) -> None:
    inputs = read_endpoints()[endpoint].inputs
    sent: dict[str, Any] = {"seed": 4}
    if "prompt" in inputs:
        sent["prompt"] = "x"
    if "image_url" in inputs:
        sent["image_url"] = _data_uri(encode_image(picture(width=80, height=64)))
    if "image_size" in inputs:
        sent["image_size"] = SMALL
    result = client.run(endpoint, sent)
    assert result["seed"] == 4
    image = result["images"][0]
    assert image["content_type"] == "image/jpeg"
    assert (image["width"], image["height"]) == ((64, 48) if "image_size" in inputs else (80, 64))
    flux_2 = "flux-2" in endpoint
    assert set(result) == (
        {"images", "seed"} if flux_2 else {"images", "seed", "timings", "has_nsfw_concepts", "prompt"}
    )
    handle = client.submit(endpoint, sent)
    assert f"/{read_endpoints()[endpoint].app}/requests/" in handle.status_url
    assert handle.get(interval=0.005)["seed"] == 4


@pytest.mark.parametrize(
    ("endpoint", "field", "value", "kind"),
    [
        ("fal-ai/flux/dev", "num_inference_steps", 51, "less_than_equal"),
        ("fal-ai/flux-2-flex", "num_inference_steps", 1, "greater_than_equal"),
        ("fal-ai/flux-2-flex", "guidance_scale", 10.5, "less_than_equal"),
        ("fal-ai/flux-2-pro", "safety_tolerance", "6", "literal_error"),
        (IMAGE_TO_IMAGE, "strength", 0, "greater_than_equal"),
        (IMAGE_TO_IMAGE, "num_inference_steps", 9, "greater_than_equal"),
        (REDUX, "image_url", None, "string_type"),
    ],
)
def test_each_endpoint_has_its_own_ranges(
    client: fal_client.SyncClient, endpoint: str, field: str, value: Any, kind: str
) -> None:
    sent = {"prompt": "x", "image_url": _data_uri(encode_image(picture())), field: value}
    with pytest.raises(FalClientHTTPError) as raised:
        client.run(endpoint, sent)
    (finding,) = raised.value.response.json()["detail"]
    assert (raised.value.status_code, finding["loc"], finding["type"]) == (422, ["body", field], kind)
    assert finding["url"].endswith(f"#{kind}")
    assert "msg" in finding
    assert finding["input"] == value


def test_what_an_endpoint_does_not_know_is_ignored(client: fal_client.SyncClient) -> None:
    assert client.run("fal-ai/flux-2-pro", {"prompt": "x", "image_size": SMALL, "num_inference_steps": 900})["images"]


def test_an_endpoint_of_ones_own(client: fal_client.SyncClient) -> None:
    url = _data_uri(encode_image(picture(width=32, height=32)))
    result = client.run("workflows/somebody/mixer", {"prompt": "x", "image_urls": [url, url]})
    assert len(result["images"]) == 2
    handle = client.submit("workflows/somebody/mixer", {"prompt": "x", "image_urls": []})
    assert "/workflows/somebody/mixer/requests/" in handle.status_url
    with pytest.raises(FalClientHTTPError) as raised:
        handle.get(interval=0.005)
    assert raised.value.response.json()["detail"][0]["type"] == "too_short"
    with pytest.raises(FalClientHTTPError) as raised:
        client.run("workflows/somebody/mixer", {"prompt": "x", "image_urls": [url, "https://example.org/a.png"]})
    assert raised.value.response.json()["detail"][0]["loc"] == ["body", "image_urls", 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model: a/b\ninputs: {x: {type: colour}}", "inputs.x.type"),
        ("model: a/b\ninputs: {x: {type: string, shade: 2}}", "inputs.x.shade"),
        ("model: a/b", "no inputs"),
        ("model: plain\ninputs: {x: {type: string}}", "model 'plain'"),
        ("- a list", "no mapping"),
        ("a: [", "target file in YAML"),
    ],
)
def test_a_file_that_is_no_endpoint_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(EnvironmentProblem) as raised:
        read_endpoints([file])
    assert words in str(raised.value)
    assert str(file) in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="gone"):
        read_endpoints([tmp_path / "gone.yaml"])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the client leaves sockets to collect
def test_uploads_by_the_real_client_become_input_pictures(client: fal_client.SyncClient, tmp_path: Path) -> None:
    content = encode_image(picture(width=96, height=64))
    file = tmp_path / "in.png"
    file.write_bytes(content)
    urls = [
        client.upload(content, "image/png", file_name="../a b.png"),
        client.upload_file(file),
        client.upload_image(Image.open(io.BytesIO(content)), "png"),
        client.upload(content, "image/png", repository="fal"),
    ]
    assert urls[0].endswith("/a_b.png")
    for url in urls:
        stored = httpx.get(url)
        assert stored.headers["content-type"] == "image/png"
        assert int(stored.headers["content-length"]) == len(stored.content)
        image = client.run(IMAGE_TO_IMAGE, {"prompt": "x", "image_url": url})["images"][0]
        assert (image["width"], image["height"]) == (96, 64)
    assert httpx.get(urls[0]).content == content
    gc.collect()


def test_a_delivered_picture_can_be_an_input(client: fal_client.SyncClient) -> None:
    first = client.run(ENDPOINT, arguments())["images"][0]["url"]
    assert client.run(REDUX, {"image_url": first, "image_size": SMALL})["prompt"] == ""


def test_another_input_picture_gives_another_picture(client: fal_client.SyncClient) -> None:
    def draw(shade: int) -> bytes:
        url = _data_uri(encode_image(Image.new("RGB", (64, 64), (shade, shade, shade))))
        answer = client.run(REDUX, {"image_url": url, "seed": 1, "image_size": SMALL})
        return httpx.get(answer["images"][0]["url"]).content

    assert draw(10) == draw(10) != draw(200)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://example.org/cat.png", "file_download_error"),
        ("http://127.0.0.1:1/files/upload-1/a.png", "file_download_error"),
        ("http://[/a.png", "file_download_error"),
        ("cat.png", "file_download_error"),
        ("data:image/png;base64", "file_download_error"),
        ("data:image/png;base64,!!!!", "file_download_error"),
        (_data_uri(b"no picture"), "image_load_error"),
        (_data_uri(encode_image(picture())[:200]), "image_load_error"),
    ],
)
def test_input_pictures_that_cannot_be_used(client: fal_client.SyncClient, url: str, kind: str) -> None:
    with pytest.raises(FalClientHTTPError) as raised:
        client.run(REDUX, {"image_url": url})
    (finding,) = raised.value.response.json()["detail"]
    assert (raised.value.status_code, finding["type"], finding["loc"]) == (422, kind, ["body", "image_url"])
    assert len(finding["input"]) <= 203


def test_an_unknown_file_of_its_own_is_a_download_error(place: Served, client: fal_client.SyncClient) -> None:
    for path in ("files/upload-unknown/a.png", "files/upload", "emulator/account"):
        with pytest.raises(FalClientHTTPError) as raised:
            client.run(REDUX, {"image_url": f"{place.url}/{path}"})
        assert raised.value.response.json()["detail"][0]["type"] == "file_download_error"


def test_uploads_want_a_key_or_the_token(place: Served) -> None:
    for path in ("/storage/auth/token", "/files/upload", "/storage/upload/initiate"):
        assert httpx.post(place.url + path, json={}).status_code == 401
    wrong = {"Authorization": "Bearer something"}
    assert httpx.post(f"{place.url}/files/upload", content=b"x", headers=wrong).status_code == 401
    token = httpx.post(f"{place.url}/storage/auth/token", json={}, headers=HEADERS).json()
    assert set(token) == {"token", "token_type", "base_url", "expires_at"}
    bearer = {"Authorization": f"{token['token_type']} {token['token']}"}
    assert httpx.post(f"{place.url}/{ENDPOINT}", json=arguments(), headers=bearer).status_code == 401
    assert httpx.post(f"{place.url}/storage/upload/initiate", json=[], headers=HEADERS).status_code == 400
    assert httpx.put(f"{place.url}/files/job/0.png", content=b"x").status_code == 404


def test_a_prompt_with_the_marker_is_a_policy_violation(place: Served, client: fal_client.SyncClient) -> None:
    marked = arguments(prompt=f"a {place.service.options.policy_marker} bicycle")
    handle = client.submit(ENDPOINT, marked)
    with pytest.raises(FalClientHTTPError) as raised:
        handle.get(interval=0.005)
    (finding,) = raised.value.response.json()["detail"]
    assert (raised.value.status_code, finding["type"]) == (422, "content_policy_violation")
    assert (finding["loc"], finding["input"]) == (["body", "prompt"], marked["prompt"])


def test_flagged_pictures_are_black_unless_the_checker_is_off(place: Served, client: fal_client.SyncClient) -> None:
    marked = f"a {place.service.options.nsfw_marker} bicycle"
    for checker, black in ((True, True), (False, False)):
        result = client.run(ENDPOINT, arguments(prompt=marked, enable_safety_checker=checker))
        assert result["has_nsfw_concepts"] == [black]
        with Image.open(io.BytesIO(httpx.get(result["images"][0]["url"]).content)) as image:
            assert image.size == (64, 48)
            assert (image.convert("L").getextrema() == (0, 0)) == black


def test_prices_of_every_scheme(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(
        "endpoints:\n"
        "  flat: {usd_per_megapixel: 0.025}\n"
        "  both: {usd_first_megapixel: 0.03, usd_further_megapixel: 0.015}\n"
        "  exact: {usd_per_megapixel: 0.02, round_up: false}\n"
        "  image: {usd_per_image: 0.04}\n"
        "  none: {source: nowhere}\n"
    )
    prices = read_prices(file)
    assert set(prices) == {"flat", "both", "exact", "image"}

    def usd(name: str, size: tuple[int, int], count: int = 1, extra: int = 0) -> tuple[float, float]:
        found = bill(prices[name], size, count, 1_000_000, extra=extra)
        return found.units, float(found.usd)

    assert usd("flat", (1024, 1024), 2) == (4.0, 0.1)
    assert usd("both", (512, 512)) == (1.0, 0.03)
    assert usd("both", (2048, 1024), 2) == (6.0, 0.12)
    assert usd("both", (512, 512), extra=1) == (2.0, 0.045)
    assert usd("exact", (1000, 500)) == (0.5, 0.01)
    assert usd("image", (2048, 2048), 3) == (3.0, 0.12)
    assert bill(None, (512, 512), 1, 1_000_000).usd == 0
    assert isinstance(prices["flat"], Price)
    assert prices["flat"].first == Fraction(1, 40)


@pytest.mark.parametrize(
    ("width", "height", "count", "megapixel", "units"),
    [
        (1024, 1024, 1, 1_000_000, 2.0),
        (1024, 1024, 1, 1_048_576, 1.0),
        (1024, 768, 1, 1_000_000, 1.0),
        (512, 512, 4, 1_000_000, 4.0),
        (2048, 2048, 1, 1_048_576, 4.0),
    ],
)
def test_each_picture_is_billed_by_whole_megapixels(
    width: int, height: int, count: int, megapixel: int, units: float
) -> None:
    price = read_endpoints()[ENDPOINT].price
    found = bill(price, (width, height), count, megapixel)
    assert (found.units, float(found.usd)) == (units, 0.025 * units)
