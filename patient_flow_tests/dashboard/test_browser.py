"""The page in a real browser: nothing breaks, nothing leaves, everything can be reached, read and printed."""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
import uvicorn

from patient_flow.dashboard.access import SignIn
from patient_flow.dashboard.formats import Locale
from patient_flow.dashboard.server import Dashboard, Options
from patient_flow_tests.builders import ZONE
from patient_flow_tests.dashboard.hospital import Hospital
from patient_flow_tests.dashboard.test_pages import FACES, PANELS
from patient_flow_tests.required import require_module, require_npm_package, require_program

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

INSTALL = "apt-get install -y chromium"
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FILLED = "#quality :is(.bars, .nothing)"
"""The last panel has what it shows. Just after midnight its day may have no events yet: then it says so."""
Open = Callable[..., "Page"]

pytestmark = pytest.mark.embedded_only("it is about the page, whatever database the figures come from")


@contextlib.contextmanager
def served(group: Hospital, port: int = 0, options: Options | None = None) -> Iterator[str]:
    """A dashboard behind a real port."""
    listener = socket.create_server(("127.0.0.1", port))
    app = Dashboard(group.warehouse, ZoneInfo(ZONE), options, clock=lambda: group.now).application()
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture(scope="module")
def address(group: Hospital) -> Iterator[str]:
    """The dashboard of most tests."""
    with served(group) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, as it is installed."""
    program = require_program("chromium", INSTALL)
    require_module("playwright", "uv sync --all-groups")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=list(SWITCHES))
        yield started
        started.close()


def wait_until(page: Page, condition: str) -> None:
    """Waits for a condition in the page; the driver's own way evaluates strings in it, which the page forbids."""
    deadline = time.monotonic() + 30
    while not _holds(page, condition):
        assert time.monotonic() < deadline, condition
        time.sleep(0.05)


def _holds(page: Page, condition: str) -> bool:
    from playwright.sync_api import Error

    try:
        return bool(page.evaluate(condition))
    except Error:  # the page is on its way to another document
        return False


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Open]:
    """Opens a page; when the test is over it must have complained about nothing and asked nobody else."""
    complaints: list[str] = []

    def open_page(query: str = "?lang=en", *, width: int = 1440, height: int = 900, dark: bool = False) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda sent: None if sent.url.startswith(address) else complaints.append(sent.url))
        page.goto(address + query)
        page.wait_for_selector(FILLED)
        return page

    yield open_page
    for context in browser.contexts:
        context.close()
    assert complaints == []


@pytest.mark.parametrize("query", ["?lang=en", "?lang=fr&days=28", "?lang=fr&department=ICU", "?days=1"])
@pytest.mark.parametrize("width", [390, 1440])
def test_no_page_is_wider_than_its_screen(opened: Open, width: int, query: str) -> None:
    page = opened(query, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for panel in page.locator(".panel").all():
        box = panel.bounding_box()
        assert box is not None
        assert box["width"] > 0.2 * width


def test_the_page_of_ranges_fits_a_phone_and_fills_itself_in(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 900})
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address + "trends?lang=en")
    wait_until(page, "document.getElementById('figures').dataset.pending === '0'")
    assert page.locator("#months td").count() > 0
    assert page.locator(".chart").count() > 5
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
    assert complaints == []


def test_a_filter_changes_figures_and_address_without_a_new_page(opened: Open) -> None:
    page = opened()
    page.evaluate("window.isTheSame = true")
    before = page.locator("#cards .figure").first.inner_text()
    page.locator("select[name=department]").select_option("ICU")
    page.wait_for_selector("#hours")
    assert page.locator("#cards .figure").first.inner_text() != before
    assert "department=ICU" in page.url
    assert page.evaluate("window.isTheSame")
    page.go_back()
    wait_until(page, "!location.search.includes('ICU') && !document.getElementById('hours')")
    assert page.locator("#cards .figure").first.inner_text() == before


def test_a_refresh_keeps_open_tables_and_the_focus(opened: Open) -> None:
    page = opened()
    page.locator("#movements summary").focus()
    page.keyboard.press("Enter")
    changed = "sources.set('movements', 'old'); tag = ''; refresh()"
    with page.expect_response("**/figures*"):
        page.evaluate(changed)
    wait_until(page, "sources.get('movements') !== 'old'")
    assert page.locator("#movements details").get_attribute("open") is not None
    assert page.evaluate("document.activeElement.closest('.panel')?.id") == "movements"


def test_a_page_without_its_server_shows_a_warning_until_the_server_is_back(browser: Browser, group: Hospital) -> None:
    """A screen on a wall must not stay green for hours."""
    page = browser.new_context().new_page()
    with served(group) as address:
        page.goto(address + "?lang=en")
        page.wait_for_selector(FILLED)
        page.evaluate("refresh()")
        before = page.locator("#status").inner_text()
    page.evaluate("refresh()")
    assert page.locator("#lost").count() == 0  # once may be chance
    page.evaluate("refresh()")
    assert page.locator("#status.unreachable strong").inner_text() == "Unreachable"
    since = Locale("en", ZoneInfo(ZONE)).moment(group.now)
    assert since in page.locator("#lost").inner_text()
    assert page.locator("#cards .figure").count() == 5
    page.evaluate("refresh()")
    assert page.locator("#lost").count() == 1
    with served(group, int(address.rstrip("/").rpartition(":")[2])):
        wait_until(page, "refresh().then(() => !document.getElementById('lost'))")
        page.wait_for_selector(FILLED)  # the new server may still be reading when it is first asked
        assert page.locator("#status").inner_text() == before
        assert page.locator("#status.unreachable").count() == 0
    page.context.close()


@pytest.mark.parametrize(
    ("status", "body"), [(502, "bad gateway"), (200, "<h1>Please sign in</h1>")], ids=["a proxy", "a sign-in"]
)
def test_what_somebody_else_answers_is_no_refresh(browser: Browser, address: str, status: int, body: str) -> None:
    page = browser.new_context().new_page()
    page.goto(address + "?lang=fr")
    page.wait_for_selector(FILLED)
    page.route("**/figures*", lambda route: route.fulfill(status=status, body=body, content_type="text/html"))
    for _ in range(2):
        page.evaluate("refresh()")
    assert page.locator("#status.unreachable strong").inner_text() == "Injoignable"
    assert "sans réponse depuis" in page.locator("#lost").inner_text()
    assert page.locator("#cards .figure").count() == 5
    page.context.close()


def test_everything_is_reached_with_the_keyboard_in_the_order_of_the_page(opened: Open) -> None:
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "figures"
    seen: list[str] = []
    for _ in range(400):
        page.keyboard.press("Tab")
        panel = page.evaluate("document.activeElement.closest('.panel')?.id")
        if panel and (not seen or seen[-1] != panel):
            seen.append(panel)
        if page.evaluate("document.activeElement === document.body"):
            break
    assert seen == list(PANELS)


def test_every_control_has_a_name_and_headings_have_no_gaps(opened: Open) -> None:
    page = opened()
    for select in page.locator("select").all():
        assert select.evaluate("element => element.labels.length") == 1
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(heading => +heading.tagName[1])")
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))
    ids = page.locator("[id]").evaluate_all("elements => elements.map(element => element.id)")
    assert len(ids) == len(set(ids))
    assert page.locator("svg:not([aria-hidden], svg svg)").count() == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_texts_have_the_contrast_of_level_aa(opened: Open, dark: bool) -> None:
    page = opened("?lang=en", dark=dark)
    page.locator("#movements summary").click()
    pairs = page.evaluate(
        """() => {
            const back = (element) => {
                const colour = getComputedStyle(element).backgroundColor;
                return colour === 'rgba(0, 0, 0, 0)' && element.parentElement ? back(element.parentElement) : colour;
            };
            const found = [];
            for (const element of document.querySelectorAll('h1, h2, p, span, a, th, td, summary, li, select, text')) {
                const style = getComputedStyle(element);
                const svg = element.tagName === 'text';
                found.push([element.textContent.trim().slice(0, 30), svg ? style.fill : style.color, back(element)]);
            }
            return found;
        }"""
    )
    weak = {(text, front, back) for text, front, back in pairs if text and contrast(front, back) < 4.5}
    assert weak == set()
    is_dark = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) < 0.1
    assert is_dark == dark


AXE_PAGES = (
    *("?hospital=1&department=ICU", "trends?", "patients?of=in_beds", "patients?of=waiting"),
    *("what-if?", "what-if?hospital=1&department=ICU&beds=4", "figures?", "?"),
)
"""The last two as somebody who sees aggregates only: their page, and the refusal of the others."""


def test_axe_finds_nothing_on_any_page_in_either_language_or_colours(browser: Browser, group: Hospital) -> None:
    axe = (require_npm_package("axe-core", "4.14.1") / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    with served(group, options=Options(SignIn("X-User", aggregates_header="X-Detail"))) as address:
        for language, (number, path) in itertools.product(("en", "fr"), enumerate(AXE_PAGES)):
            detail = "full" if number < len(AXE_PAGES) - 2 else "aggregates"
            context = browser.new_context(
                extra_http_headers={"X-User": "a. martin", "X-Detail": detail}, color_scheme="light"
            )
            page = context.new_page()
            page.goto(f"{address}{path}&lang={language}")
            if path.startswith("trends"):
                wait_until(page, "document.getElementById('figures').dataset.pending === '0'")
            elif path == AXE_PAGES[0]:
                page.wait_for_selector(FILLED)
            page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
            page.evaluate(axe)
            broken = page.evaluate(AXE_RUN, {})
            page.emulate_media(color_scheme="dark")
            broken += page.evaluate(AXE_RUN, {"runOnly": ["color-contrast"]})
            found[f"{path} {language}"] = broken
            context.close()
    assert {page: broken for page, broken in found.items() if broken} == {}


AXE_RUN = """async options => (await axe.run(document, {...options, resultTypes: ['violations']})).violations
    .map(one => [one.id, ...one.nodes.map(node => node.target.join(' '))].join(' ').slice(0, 500))"""


def contrast(front: str, back: str) -> float:
    high, low = sorted((luminance(front), luminance(back)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_printing_loses_neither_chart_nor_table(opened: Open, tmp_path: Path) -> None:
    reader = shutil.which("pdftotext")
    page = opened()
    page.emulate_media(media="print")
    others = page.locator(".panel:not(#alerts)")
    assert others.locator("details:not([open])").count() == len(PANELS) - len(FACES) - 1
    drawn = others.evaluate_all(
        "all => all.map(panel => [...panel.querySelectorAll('svg, table')].some(e => e.getBoundingClientRect().height))"
    )
    assert drawn == [True] * (len(PANELS) - 1)
    alerts = page.locator("#alerts li")
    assert alerts.evaluate_all("all => all.every(alert => alert.getBoundingClientRect().height)")
    path = tmp_path / "page.pdf"
    page.pdf(path=str(path), prefer_css_page_size=True)
    assert path.read_bytes().startswith(b"%PDF")
    if reader is None:
        return
    printed = subprocess.run([reader, "-layout", str(path), "-"], capture_output=True, text=True, check=True).stdout
    for panel in page.locator(".panel > h2").all_inner_texts():
        assert panel in printed
    assert "Occupied bed hours" in printed  # stands in a table only
    assert "Export CSV" not in printed


def test_the_meetings_sheet_is_one_page_for_seven_times_seven_departments_and_goes_on_for_more(
    opened: Open, tmp_path: Path
) -> None:
    """The page's own rows, repeated. A screen of 1024 px shows every column of the board."""
    page = opened("?lang=fr", width=1024)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1024
    assert page.evaluate("(box => box.scrollWidth <= box.clientWidth)(document.querySelector('#board .scroll'))")
    page.evaluate("document.body.classList.add('sheet')")
    for hospitals, is_one in ((7, True), (30, False)):
        page.evaluate(
            """hospitals => {
                const table = document.querySelector('#board table'), group = table.querySelector('.group');
                while (group.rows.length < 8) group.append(group.rows[1].cloneNode(true));
                for (const other of [...table.querySelectorAll('.group')].slice(1)) other.remove();
                for (let number = 1; number < hospitals; number++) table.append(group.cloneNode(true));
            }""",
            hospitals,
        )
        path = tmp_path / "sheet.pdf"
        page.pdf(path=str(path), prefer_css_page_size=True)
        pages = len(re.findall(rb"/Type\s*/Page[^s]", path.read_bytes()))
        assert (pages == 1) == is_one, pages


def test_a_folded_hospital_stays_folded_when_new_figures_come(opened: Open) -> None:
    page = opened()
    group = page.locator("#board .group").first
    rows = group.locator("tr:not(.head)")
    assert rows.first.is_visible()
    group.locator(".fold").click()
    assert not rows.first.is_visible()
    with page.expect_response("**/figures*"):
        page.evaluate("sources.set('board', 'old'); tag = ''; refresh()")
    wait_until(page, "sources.get('board') !== 'old'")
    assert not rows.first.is_visible()
    assert group.locator(".fold").get_attribute("aria-expanded") == "false"


def test_without_scripts_the_page_still_answers_to_its_filters(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address + "?lang=en")
    page.locator("select[name=department]").select_option("ICU")
    page.get_by_role("button", name="Show").click()
    assert page.locator("#hours .chart").count() == 1
    context.close()
