"""What every test finds: one thread for torch, no network, no key of the person who runs it, one cached miniature."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_CACHE = Path(__file__).parent.parent / ".cache" / "tests"
MANY_MODULES = 300
NEEDING = ("gpu", "network", "paid")
_frozen_modules = 0

# Before anything imports torch or huggingface_hub, which read these once; child processes inherit them.
os.environ |= {
    "OMP_NUM_THREADS": "1",  # two threads on a busy two-core machine are slower than one
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HOME": str(_CACHE / "huggingface"),
    "KREABENCH_CACHE": str(_CACHE),
}
for _secret in ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET", "HF_TOKEN"):
    os.environ.pop(_secret, None)
if os.environ.get("PYTHONPATH"):  # child processes start in other folders, and must not test another copy
    os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, os.environ["PYTHONPATH"].split(os.pathsep)))


# Else each of some hundred child processes would compile the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What needs a GPU, the internet or money is left out unless `-m` names it; another `-m` does not let it in."""
    asked = config.getoption("-m")
    unasked = {name for name in NEEDING if name not in asked}
    left_out = [item for item in items if unasked & {mark.name for mark in item.iter_markers()}]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish() -> None:
    """Modules live as long as the tests: the garbage collector need not walk through them each time."""
    _freeze()


def pytest_runtest_setup() -> None:
    """Libraries are imported in the midst of the tests: every closed back end collects, and need not walk them all."""
    if len(sys.modules) > _frozen_modules + MANY_MODULES:
        _freeze()


def pytest_unconfigure() -> None:
    """Else libraries complain at the end of what they leaked."""
    gc.unfreeze()


def _freeze() -> None:
    global _frozen_modules
    gc.collect()
    gc.freeze()
    _frozen_modules = len(sys.modules)


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    """A command that was interrupted ignores what else comes, which must not outlive its test; and whoever started the
    tests may ignore Ctrl-C, as a shell does for what runs in the background."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if before[signal.SIGINT] is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def processor_calibrated_once() -> Iterator[None]:
    """Back ends measure their device at every load; this process has one processor, and asks it once a dtype."""
    from kreabench.backends import calibration, local_diffusers

    real, known = calibration.calibrate, dict[str, Any]()

    def calibrate(device: Any, dtype: str) -> Any:
        if device.name != "cpu":
            return real(device, dtype)
        if dtype not in known:
            known[dtype] = real(device, dtype)
        return known[dtype]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_diffusers, "calibrate", calibrate)
        yield


@pytest.fixture(scope="module")
def undrawn() -> Iterator[None]:
    """Figures of reports stay empty: to draw them takes most of the time of a report."""
    from kreabench.report import html_page
    from kreabench.report.drawing.figures import Drawn

    empty = Drawn(png=b"", wide=b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', narrow=b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html_page, "draw_all", lambda figure, *, narrow: empty)
        yield


@pytest.fixture(scope="session")
def mini_model() -> Path:
    """The folder of `builtin:mini-untrained`, built by the first test run on this machine and kept for the next."""
    from diffusers import FluxPipeline

    assert FluxPipeline is not None
    _freeze()  # what was imported just now is most of what there is
    from kreabench.backends.mini import resolve_model

    return Path(resolve_model("builtin:mini-untrained"))


@pytest.fixture(scope="session")
def mini_target() -> Callable[..., Any]:
    """Makes a local target with `builtin:mini-untrained`; `options` are added to those of a quick CPU run."""
    from tests.support import make_target

    def make(*, options: dict[str, Any] | None = None, **changes: Any) -> Any:
        base = {"device": "cpu", "dtype": "float32", "max_sequence_length": 128, "torch_threads": 1}
        changes = {"name": "mini_local", "backend": "diffusers", "model": "builtin:mini-untrained"} | changes
        return make_target(options=base | (options or {}), **changes)

    return make


@pytest.fixture(scope="session")
def open_mini(mini_model: Path, mini_target: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Opens a local back end on the miniature with these features by acceleration; all are closed at the end."""
    from kreabench.backends.local_diffusers import DiffusersBackend
    from tests.support import make_acceleration

    opened: list[DiffusersBackend] = []

    def open_(features: dict[str, dict[str, Any]] | None = None, **changes: Any) -> DiffusersBackend:
        accelerations = [
            make_acceleration(name=name, features=value) for name, value in (features or {"none": {}}).items()
        ]
        backend = DiffusersBackend()
        opened.append(backend)
        backend.open(mini_target(**changes), accelerations, ())
        return backend

    yield open_
    for backend in opened:
        backend.close()


@pytest.fixture(scope="session")
def mini_backend(open_mini: Callable[..., Any]) -> Any:
    """One loaded miniature for all tests that leave it as it is: accelerations `none`, `exact` and `high`."""
    caches = {"exact": {"first_block_cache": {"threshold": 0.0}}, "high": {"first_block_cache": {"threshold": 0.3}}}
    return open_mini({"none": {}, **caches})


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One headless Chromium for this process, and the event loop that Playwright keeps running in this thread."""
    from tests.browser_support import ARGUMENTS, find_chromium

    path = find_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        loop, started = asyncio.get_running_loop(), playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started, loop
        asyncio._set_running_loop(loop)
        started.close()


@pytest.fixture(scope="module")
def browser(chromium: Any) -> Iterator[Any]:
    """That Chromium; its event loop is hidden from the tests of other modules, which may want to run their own."""
    started, loop = chromium
    asyncio._set_running_loop(loop)
    yield started
    asyncio._set_running_loop(None)


@pytest.fixture(scope="module")
def visit(browser: Any, index: Path) -> Iterator[Any]:
    """A module's own page `index`, opened once; its choices stand in its address, so each test can begin anew."""
    from tests.browser_support import Visited

    page = Visited(browser, index)
    yield page
    page.close()


@pytest.fixture
def watched(visit: Any) -> Iterator[Any]:
    """The same without choices; a test fails where the page complained during it."""
    visit.at()
    yield visit
    assert visit.complaints == []
