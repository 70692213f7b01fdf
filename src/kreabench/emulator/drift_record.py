"""One cheapest request to whatever fal the client is configured for, and what its answers look like.

`python -m kreabench.emulator.drift_record` prints the recording as JSON. The request is sent once: the client's own
retries are off.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import httpx

from kreabench.emulator.drift import BODIES, STATUSES, shape

ENDPOINT = "fal-ai/flux/krea"
SIZE = (512, 512)
_ARGUMENTS: dict[str, Any] = {
    "prompt": "a red apple on a white table",
    "image_size": {"width": SIZE[0], "height": SIZE[1]},
    "num_inference_steps": 1,
    "num_images": 1,
    "seed": 0,
    "output_format": "jpeg",
    "acceleration": "none",
}
_UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
_START_TIMEOUT_S = 60
_PATIENCE_S = 180.0
_POLL_S = 0.1
_TOLD_HEADERS = ("content-type", "content-length", "retry-after")


class RecordingFailed(Exception):
    """The request did not come to a picture; the message says how far it came."""


def record() -> dict[str, Any]:
    """The recording. Raises RecordingFailed, whose message holds no secret."""
    import fal_client.client

    fal_client.client.MAX_ATTEMPTS = 1  # nothing is sent, and paid, twice
    client = fal_client.SyncClient()
    stage = "unknown id"
    try:
        http: httpx.Client = client._client
        app = "/".join(ENDPOINT.split("/")[:2])
        unknown = http.get(f"{fal_client.client.QUEUE_URL_FORMAT}{app}/requests/{_UNKNOWN_ID}/status")
        recording: dict[str, Any] = {stage: _answer(unknown)}
        stage = "submit"
        seen: list[httpx.Response] = []
        http.event_hooks = {"response": [seen.append]}
        handle = client.submit(ENDPOINT, _ARGUMENTS, start_timeout=_START_TIMEOUT_S)
        http.event_hooks = {"response": []}
        recording[stage] = _answer(seen[-1])
        stage = "status events"
        recording |= _watch(http, handle.status_url)
        stage = "status"
        recording["status completed"] = _answer(http.get(handle.status_url, params={"logs": "1"}))
        stage = "result"
        result = http.get(handle.response_url)
        recording[stage] = _answer(result)
        stage = "picture"
        recording[stage] = _picture(result)
    except (httpx.HTTPError, fal_client.client.FalClientError, KeyError, ValueError, TypeError, IndexError) as error:
        # The error's own text is left out: it may quote what the service said, and a service may quote a key.
        raise RecordingFailed(f"the request failed at {stage}: {type(error).__name__}") from None
    finally:
        client._client.close()
    return recording


def _watch(http: httpx.Client, status_url: str) -> dict[str, Any]:
    """What the status events say until the job is completed; by asking, where there are none."""
    bodies: list[dict[str, Any]] = []
    with http.stream("GET", f"{status_url}/stream", params={"logs": "1"}, timeout=_PATIENCE_S) as response:
        events = {"status": f"HTTP {response.status_code}", "headers": _headers(response)}
        if response.status_code == 200:
            for line in response.iter_lines():
                if line.startswith("data:"):
                    bodies.append(json.loads(line.removeprefix("data:")))
    deadline = time.monotonic() + _PATIENCE_S
    while not (bodies and bodies[-1]["status"] == "COMPLETED"):
        if time.monotonic() > deadline:
            raise ValueError("never completed")
        time.sleep(_POLL_S)
        bodies.append(http.get(status_url, params={"logs": "1"}).json())
    statuses = [str(body["status"]) for body in bodies]
    return {
        "status events": events,
        BODIES: {str(body["status"]): shape(body) for body in bodies},
        STATUSES: [status for status, before in zip(statuses, ["", *statuses], strict=False) if status != before],
    }


def _picture(result: httpx.Response) -> dict[str, Any]:
    url = result.json()["images"][0]["url"]
    # A client of its own: the key goes to no media host.
    response = httpx.get(url, follow_redirects=True, timeout=_PATIENCE_S)
    return {"status": f"HTTP {response.status_code}", "headers": _headers(response)}


def _answer(response: httpx.Response) -> dict[str, Any]:
    try:
        body = shape(response.json())
    except ValueError:
        body = "no JSON"
    return {"status": f"HTTP {response.status_code}", "headers": _headers(response), "body": body}


def _headers(response: httpx.Response) -> dict[str, str]:
    """The service's own headers and those that clients rely on: present, but for the content type without values."""
    found = {}
    for name, value in response.headers.items():
        if name == "content-type":
            found[name] = value.partition(";")[0].strip()
        elif name in _TOLD_HEADERS or name.startswith("x-fal-"):
            found[name] = "present"
    return dict(sorted(found.items()))


def main() -> None:
    """Print the recording, or the reason on stderr with exit code 1."""
    try:
        print(json.dumps(record()))  # noqa: T201
    except RecordingFailed as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(1)


if __name__ == "__main__":
    main()
