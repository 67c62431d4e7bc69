"""The listening report in a real Chromium, opened from the disk as a musician opens it.

It needs Debian's chromium (`apt-get install chromium`; `.ci/run` does so) and is skipped elsewhere.
The browser has no sound card and plays all the same: its clock is what is looked at.
"""

import csv
import io
import os
import shutil

import pytest
from evaluated import evaluation
from PIL import Image

from gmsdi_jax.report import read_run, write_report

sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
ODD = "</script><img src=x onerror=\"document.title='pwned'\"> & <b>bold</b>"
SONGS = {
    "fine": {"first": 20.0, "second": 14.0, "third": 3.0},
    ODD: {"first": 4.0, "second": 9.0, "third": 1.0},
    "unheard": {"first": 12.0, "second": 11.0, "third": 2.0},
}
METHODS = ("first", "second", "third")
STATE = """[...document.querySelectorAll("audio")].map((el) => ({
    version: el.dataset.version, stem: Number(el.dataset.stem), at: el.currentTime,
    muted: el.muted, paused: el.paused, error: el.error && el.error.message}))"""
WITHIN = 0.05
"""Seconds between any two players."""


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> str:
    """The address of a report of three songs, two of them with sound."""
    folder = tmp_path_factory.mktemp("browser")
    run = evaluation(folder / "run", SONGS, keep=["fine", ODD], seconds=12.0)
    other = evaluation(folder / "other", {"fine": {"first": 18.0}}, settings={"steps": 5})
    return write_report(read_run(run), folder / "page", read_run(other)).as_uri()


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium."""
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, url):
    """Opens the report; what the browser complains of fails the test."""
    contexts, complaints = [], []

    def visit(**options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(f"{request.url}: no answer"))
        page.goto(url)
        return page

    yield visit
    for context in contexts:
        context.close()
    # A browser may give up a file that the page does not want any more.
    assert [text for text in complaints if not text.endswith("flac: no answer")] == []


def listen(page, song: int = 0):
    """Opens a song (the worst is the first) and plays it."""
    page.locator("details.song.sounds summary").nth(song).click()
    page.keyboard.press("Space")
    page.wait_for_function(
        "(els => els.length && els.every((el) => !el.paused && el.currentTime > 0.3))"
        "([...document.querySelectorAll('audio')])"
    )
    return page


def settle(page) -> None:
    """Waits until what started late has caught up."""
    page.wait_for_function(
        "(times => Math.max(...times) - Math.min(...times) < 0.02)"
        "([...document.querySelectorAll('audio')].map((el) => el.currentTime))"
    )


def heard(page) -> set[tuple[str, int]]:
    """Version and number of the stem of every file that is not muted."""
    return {(el["version"], el["stem"]) for el in page.evaluate(STATE) if not el["muted"]}


def position(page) -> float:
    """Where the first file is, seconds."""
    return page.evaluate(STATE)[0]["at"]


def test_it_loads_from_the_disk_with_the_worst_song_first(visit):
    page = visit()
    assert page.title() == "run · listening report"
    names = [" ".join(text.split()) for text in page.locator(".song .name").all_inner_texts()]
    assert names == [f"{ODD} ♪", "unheard", "fine ♪"]
    assert page.locator("section#scores table").count() == 2
    assert page.locator("#transport").is_hidden()
    assert "Against other" in page.locator("#settings").inner_text()


def test_all_files_play_in_step(visit):
    page = listen(visit())
    settle(page)
    before, spreads = position(page), []
    for _ in range(10):
        times = [el["at"] for el in page.evaluate(STATE)]
        spreads.append(max(times) - min(times))
        page.wait_for_timeout(80)
    assert len(times) == 1 + 2 * 4
    assert position(page) > before + 0.5
    assert max(spreads) < WITHIN
    assert not [el for el in page.evaluate(STATE) if el["error"]]
    page.keyboard.press("Space")
    assert all(el["paused"] for el in page.evaluate(STATE))


def test_a_switch_of_version_does_not_move_the_position(visit):
    page = listen(visit())
    assert heard(page) == {("mixture", 0)}
    switch = """(name) => {
        const els = [...document.querySelectorAll("audio")];
        const heard = () => els.find((el) => !el.muted).currentTime;
        const before = heard();
        document.querySelector(`.song.loaded .versions [data-version=${name}]`).click();
        return heard() - before;
    }"""
    for name in ("first", "reference", "second"):
        settle(page)
        assert abs(page.evaluate(switch, name)) < WITHIN
        assert heard(page) == {(name, 0), (name, 1)}
        pressed = page.locator(".song.loaded .versions [aria-pressed=true]")
        assert pressed.get_attribute("data-version") == name
    assert not [el for el in page.evaluate(STATE) if el["paused"]]
    page.keyboard.press("ArrowDown")
    assert heard(page) == {("third", 0), ("third", 1)}
    page.keyboard.press("x")
    assert heard(page) == {("mixture", 0)}


def test_solo_and_mute_by_mouse_and_by_keyboard(visit):
    page = listen(visit())
    page.get_by_role("button", name="Solo Drums").first.click()
    assert heard(page) == {("first", 1)}  # of a mixture nothing can be soloed
    page.keyboard.press("1")
    assert heard(page) == {("first", 0), ("first", 1)}
    page.keyboard.press("0")
    page.get_by_role("button", name="Mute Bass").first.click()
    assert heard(page) == {("first", 1)}
    assert (
        page.get_by_role("button", name="Mute Bass").first.get_attribute("aria-pressed") == "true"
    )
    page.keyboard.press("m")
    page.keyboard.press("Shift+Digit2")
    assert heard(page) == {("first", 0)}
    page.keyboard.press("r")
    assert heard(page) == {("reference", 0)}


def test_seeking_takes_all_files_along(visit):
    page = listen(visit())
    strip = page.locator(".song.loaded .strip.mix")
    box = strip.bounding_box()
    strip.click(position={"x": 0.75 * box["width"], "y": box["height"] / 2})
    page.keyboard.press("Space")
    assert position(page) == pytest.approx(9.0, abs=1.0)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    settle(page)
    times = [el["at"] for el in page.evaluate(STATE)]
    assert max(times) - min(times) < WITHIN
    assert 7.0 < times[0] < 11.0


def test_the_end_stops_and_the_next_song_is_a_key_away(visit):
    page = listen(visit())
    page.locator("#transport .seek").evaluate(
        "(el) => { el.value = 11.6; el.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    page.wait_for_function("[...document.querySelectorAll('audio')].every((el) => el.paused)")
    assert page.locator("#transport .clock").inner_text() == "0:00 / 0:12"
    page.keyboard.press("n")
    assert page.locator("#now-song").inner_text() == "fine"


def test_a_blind_vote_hides_the_names_and_is_exported(visit):
    page = visit()
    page.keyboard.press("b")
    assert page.locator("#trial-count").inner_text().startswith("12 trials")
    page.get_by_role("button", name="Begin").click()
    played = []
    for vote in ("1", "2", "0"):
        shown = page.locator("#blind").inner_text()
        assert not [name for name in METHODS if name in shown]
        pair = []
        for key in ("a", "b"):
            page.keyboard.press(key)
            ((name, stem),) = heard(page)
            pair.append(name)
        page.keyboard.press("r")
        assert heard(page) == {("reference", stem)}
        page.keyboard.press("Space")
        page.wait_for_function("!document.querySelector('audio').paused")
        played.append((*pair, stem))
        page.keyboard.press(vote)
    page.get_by_role("button", name="Finish").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export votes").click()
    assert download.value.suggested_filename.endswith(".csv")
    with open(download.value.path(), newline="", encoding="utf-8") as file:
        votes = list(csv.DictReader(file))
    assert [(v["a"], v["b"], ["Bass", "Drums"].index(v["stem"])) for v in votes] == played
    assert [v["vote"] for v in votes] == ["A", "B", "tie"]
    assert [v["preferred"] for v in votes] == [played[0][0], played[1][1], ""]
    assert {v["song"] for v in votes} <= set(SONGS)
    page.reload()  # votes are kept
    page.keyboard.press("b")
    assert page.locator("#vote-count").inner_text() == "3 votes"


def test_the_order_of_a_blind_test_is_random(visit):
    page = visit()
    orders = set()
    for _ in range(2):
        page.keyboard.press("b")
        page.get_by_role("button", name="Begin").click()
        order = []
        for _ in range(7):
            page.keyboard.press("a")
            order.append((page.locator("#trial-title").inner_text(), *heard(page)))
            page.get_by_role("button", name="Skip").click()
        orders.add(tuple(order))
        page.get_by_role("button", name="Leave").click()
    assert len(orders) == 2  # by chance: once in five hundred million


def test_a_phone_scrolls_down_and_not_sideways(visit):
    width = 320
    page = visit(viewport={"width": width, "height": 640}, has_touch=True, is_mobile=True)
    listen(page)
    for act in (None, "keys", "blind"):
        if act:
            page.locator(f"[data-act={act}]").first.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("visualViewport.width") == width
        dialogs = "[...document.querySelectorAll('dialog[open]')]"
        assert page.evaluate(f"{dialogs}.every((el) => el.scrollWidth <= el.clientWidth)")
        page.keyboard.press("Escape")


def test_dark_and_light_follow_the_system_and_the_button(visit):
    def ground(page) -> int:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(x) for x in colour.strip("rgb()").split(","))

    assert ground(visit(color_scheme="light")) > 600
    page = visit(color_scheme="dark")
    assert ground(page) < 120
    for _ in range(2):  # dark, light
        page.locator("[data-act=theme]").click()
    assert ground(page) > 600
    page.reload()
    assert ground(page) > 600


def test_every_control_has_a_name_and_every_picture_a_text(visit):
    page = listen(visit())
    unnamed = """[...document.querySelectorAll("button, input, img, summary, [role]")]
        .filter((el) => !(el.getAttribute("aria-label") || el.getAttribute("aria-labelledby")
          || el.alt || el.textContent.trim() || el.labels?.length
          || el.matches("[role=status], [role=alert]"))).map((el) => el.outerHTML)"""
    assert page.evaluate(unnamed) == []
    assert page.get_by_role("slider", name="Position").first.is_visible()
    assert page.get_by_role("button", name="Pause").first.is_visible()
    assert page.get_by_role("meter", name="Null test of first").first.is_visible()
    page.keyboard.press("?")
    assert "solo a stem" in page.get_by_role("dialog").inner_text()


def test_a_picture_of_the_page_shows_spectrograms(visit, tmp_path):
    page = visit(color_scheme="dark")
    page.locator("details.song.sounds summary").first.click()
    page.locator(".lane[data-stem='0']").first.scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "page.png")
    strip = page.locator(".lane[data-stem='0'] .strip.true").first.screenshot()
    shades = Image.open(io.BytesIO(strip)).convert("RGB").getcolors(1 << 24)
    assert len(shades) > 50
    assert Image.open(tmp_path / "page.png").size == (1280, 720)
