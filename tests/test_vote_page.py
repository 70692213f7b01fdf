"""The vote's page in a real browser: by keys, by buttons, by eye and by ear."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe

from kreabench.rundir.votes import read_votes, vote_writer
from kreabench.voting.app import PictureFiles, build_app
from kreabench.voting.guard import make_link
from kreabench.voting.serve import _bound
from tests.report_runs import HOSTILE
from tests.vote_support import made_run, make_ballot

pytestmark = pytest.mark.browser


class Site:
    """A vote on a socket, as people reach it."""

    def __init__(self, path: Path, *, voter: str | None, pairs: int, **changes: Any) -> None:
        self.run, pool = made_run(path, **({"prompts": HOSTILE} | changes))
        self._writer = vote_writer(self.run.path)
        self._socket = _bound("127.0.0.1", 0, "--port")
        listener = self._socket.__enter__()
        link = make_link("127.0.0.1", listener.getsockname()[1])
        ballot = make_ballot(self.run, pool, self._writer.__enter__(), voter=voter, pairs=pairs)
        app = build_app(ballot, PictureFiles(self.run.path), [link])
        self.url = link.url
        self._server = uvicorn.Server(uvicorn.Config(app, lifespan="on", log_config=None, timeout_graceful_shutdown=1))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]})
        self._thread.start()

    def votes(self) -> list[str]:
        """Choices that stand on the disk."""
        return [vote.choice for vote in read_votes(self.run.path)]

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.__exit__(None, None, None)
        self._writer.__exit__(None, None, None)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path / "run", voter=None, pairs=6)
    yield found
    found.close()


class Visit:
    """One browser on the page."""

    def __init__(self, browser: Any, site: Site, width: int = 1280, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(site.url)

    def begin(self, name: str = "Ada") -> None:
        self.page.get_by_label("Your name").fill(name)
        self.page.keyboard.press("Enter")
        self.wait_for("0 of 6")

    def wait_for(self, count: str) -> None:
        """Until the pair after so many votes can be answered."""
        self.page.wait_for_function(
            "count => document.querySelector('#count').textContent === count"
            " && (document.querySelector('#pair').hidden || !document.querySelector('[data-choice]').disabled)",
            arg=count,
        )

    def said(self) -> str:
        text: str = self.page.get_by_role("status").text_content().strip()
        return text

    def accessible(self) -> str:
        results = Axe().run(self.page)
        return "" if results.violations_count == 0 else results.generate_report()


def test_a_vote_by_keys_with_undo_and_a_reload_in_the_middle(browser: Any, site: Site) -> None:
    visit = Visit(browser, site)
    visit.begin()
    keyboard = visit.page.keyboard
    for number, (key, choice) in enumerate(
        [("ArrowLeft", "left"), ("ArrowRight", "right"), ("ArrowDown", "tie"), ("ArrowUp", "both_bad")], 1
    ):
        keyboard.press(key)
        visit.wait_for(f"{number} of 6")
        assert site.votes()[-1] == choice
    assert visit.said() == "Voted both bad. Pair 5 of 6."
    keyboard.press("Backspace")
    visit.wait_for("3 of 6")
    assert site.votes() == ["left", "right", "tie"]
    shown = visit.page.locator("#left img").get_attribute("src")
    visit.page.reload()
    visit.wait_for("3 of 6")
    assert visit.page.locator("#left img").get_attribute("src") == shown
    for number in (4, 5, 6):
        keyboard.press("ArrowLeft")
        visit.wait_for(f"{number} of 6")
    assert visit.page.get_by_text("Thank you: that was the last pair.").is_visible()
    keyboard.press("ArrowLeft")
    assert site.votes() == ["left", "right", "tie", "left", "left", "left"]
    assert visit.complaints == []
    origin = site.url.split("/")[2]
    assert {url.split("/")[2] for url in visit.requests if not url.startswith("data:")} == {origin}
    visit.context.close()


def test_a_vote_by_buttons_with_skip_and_zoom(browser: Any, site: Site) -> None:
    visit = Visit(browser, site)
    visit.begin()
    page = visit.page
    before = page.locator("#left img").get_attribute("src")
    page.get_by_role("button", name="Skip").click()
    page.wait_for_function("src => document.querySelector('#left img').getAttribute('src') !== src", arg=before)
    visit.wait_for("0 of 6")
    zoom = page.get_by_role("button", name="Zoom")
    zoom.click()
    assert zoom.get_attribute("aria-pressed") == "true"
    page.locator("#left").evaluate("frame => frame.scrollTo(40, 60)")
    right = "() => (box => box.scrollLeft === 40 && box.scrollTop === 60)(document.querySelector('#right'))"
    page.wait_for_function(right)
    page.locator("#right").focus()
    page.keyboard.press("ArrowRight")  # moves the zoomed picture, and is no vote
    page.wait_for_function("() => document.querySelector('#left').scrollLeft >= 60")
    page.keyboard.press("Escape")
    for number, name in enumerate(("Left is better", "Right is better", "As good", "Both bad"), 1):
        page.get_by_role("button", name=name).click()
        visit.wait_for(f"{number} of 6")
    assert site.votes() == ["left", "right", "tie", "both_bad"]
    page.get_by_role("button", name="Undo last").click()
    visit.wait_for("3 of 6")
    assert site.votes() == ["left", "right", "tie"]
    assert visit.complaints == []
    visit.context.close()


def test_pictures_of_few_pixels_are_enlarged_with_sharp_edges(browser: Any, tmp_path: Path) -> None:
    site = Site(tmp_path / "run", voter="Ada", pairs=1, sizes=((48, 48),))
    visit = Visit(browser, site)
    visit.wait_for("0 of 1")
    image = visit.page.locator("#left img")
    assert image.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
    assert image.bounding_box()["height"] > 200
    visit.context.close()
    site.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_is_accessible_fits_and_hides_what_it_must(browser: Any, site: Site, width: int, scheme: str) -> None:
    visit = Visit(browser, site, width, scheme)
    page = visit.page
    assert visit.accessible() == ""
    assert page.evaluate("document.activeElement.id") == "voter"
    visit.begin(HOSTILE[0][:80])
    for number in range(1, 7):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        content = page.content()
        assert not [word for word in ("mini_local", "images/", ".png", "acceleration") if word in content]
        small = """[...document.querySelectorAll('button')].filter(one => one.offsetParent)
            .map(one => one.getBoundingClientRect()).filter(box => box.height < 24 || box.width < 24).length"""
        assert page.evaluate(small) == 0
        if number == 1:
            assert visit.accessible() == ""
            page.get_by_role("button", name="Zoom").click()
            assert visit.accessible() == ""
            page.get_by_role("button", name="Zoom").click()
        page.get_by_role("button", name="As good").click()
        visit.wait_for(f"{number} of 6")
    assert visit.accessible() == ""
    assert page.title() == "kreabench vote"
    assert visit.complaints == []
    visit.context.close()


def test_a_server_that_is_gone_is_said_and_no_vote_is_pretended(browser: Any, tmp_path: Path) -> None:
    site = Site(tmp_path / "run", voter="Grace", pairs=6)
    visit = Visit(browser, site)
    visit.wait_for("0 of 6")
    visit.page.keyboard.press("ArrowLeft")
    visit.wait_for("1 of 6")
    site.close()
    visit.page.keyboard.press("ArrowLeft")
    visit.page.get_by_role("alert").get_by_text("The vote does not answer").wait_for()
    assert visit.page.locator("#count").text_content() == "1 of 6"
    assert site.votes() == ["left"]
    visit.context.close()
