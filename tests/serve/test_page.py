"""Today's list, as a person sees it and judges it: by its HTML, and in a real browser against a real server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient
from tests.serve.conftest import BASE, TOKEN

from nextbest import operations
from nextbest.serve import create_app
from nextbest.serve.words import moment, money, share

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page
    from tests.serve.conftest import Started

    from nextbest.ledger import Ledger

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
OVERFLOW = "document.documentElement.scrollWidth - window.innerWidth"


def csrf(page: str) -> str:
    """Give the token of the page's forms."""
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page)
    assert found
    return found[1]


def test_the_page_shows_the_list(person: TestClient, ledger: Ledger) -> None:
    """Every item shows who, what, the money, the reasons and its rules; totals and the regime stand on top."""
    html = person.get("/").text
    today = operations.today(ledger)
    assert today.items
    for item in today.items:
        row = html[html.index(f'id="{item.decision_id}"') :].partition("</tr>")[0]
        shown = (item.subject_id, money(item.expected_gain, "EUR"), *item.reasons)
        assert [text for text in shown if text not in row] == []
        assert all(operations.rule_in_words(r["rule"]).replace("'", "&#39;") in row for r in item.removed)
    assert "Only people who said yes are contacted." in html
    assert f"<dd>{today.decided}</dd>" in html


def test_texts_of_the_configuration_are_text(person: TestClient) -> None:
    """Markup in an action's text is shown, not obeyed, and the page has no script and no inline style."""
    html = person.get("/").text
    assert "5 off &lt;b&gt;everything&lt;/b&gt;" in html
    assert "<b>everything" not in html
    assert not re.search(r"<script|\son\w+=|\sstyle=|javascript:", html)


@pytest.mark.parametrize(("verdict", "shown"), [("approve", "Approved"), ("reject", "Rejected")])
def test_a_form_is_recorded_and_shown(person: TestClient, ledger: Ledger, verdict: str, shown: str) -> None:
    """A judgement comes back as a redirect to its row, is in the ledger under the page's name, and is shown."""
    item = operations.today(ledger).items[0]
    form = {
        "decision_id": item.decision_id,
        "verdict": verdict,
        "csrf": csrf(person.get("/").text),
        "action_id": "note",
    }
    answer = person.post("/feedback", data=form, headers={"Origin": BASE})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/#{item.decision_id}")
    assert operations.today(ledger).items[0].feedback == verdict
    assert shown in person.get("/").text


def test_a_change_names_another_action(person: TestClient, ledger: Ledger) -> None:
    """A change to an action that was a candidate is recorded; to another one it is refused."""
    item = next(i for i in operations.today(ledger).items if i.alternatives)
    form = {"decision_id": item.decision_id, "verdict": "change", "csrf": csrf(person.get("/").text)}
    own = {"Origin": BASE}
    assert person.post("/feedback", data={**form, "action_id": "free_car"}, headers=own).status_code == 404
    assert person.post("/feedback", data={**form, "action_id": item.alternatives[0]}, headers=own).status_code == 303
    assert {i.decision_id: i.feedback for i in operations.today(ledger).items}[item.decision_id] == "change"


def test_an_empty_workspace_says_what_to_do_next(tmp_path: Path) -> None:
    """Without decisions the page names the commands that lead to a list."""
    with operations.create(tmp_path / "new") as ledger:
        client = TestClient(create_app(ledger, token=TOKEN), base_url=BASE)
        html = client.get("/", params={"token": TOKEN}).text
    assert "nextbest up exports/" in html
    assert "<table" not in html


@pytest.mark.parametrize(
    ("value", "currency", "written"),
    [(12.5, "USD", "$12.50"), (-0.4, "EUR", "-€0.40"), (12345.6, "CHF", "12,346 CHF"), (0, "GBP", "£0.00")],
)
def test_money_is_written_for_people(value: float, currency: str, written: str) -> None:
    """Amounts carry their currency; cents only below a thousand."""
    assert money(value, currency) == written


def test_shares_and_moments_are_written_for_people() -> None:
    """Chances are whole percents, or under one; a moment names its zone."""
    assert (share(0.608), share(0.001), share(0.0)) == ("61%", "under 1%", "0%")
    assert moment("2026-03-02T12:00:00+00:00") == "2 March 2026, 12:00 UTC"


@pytest.fixture
def page(chromium: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Give a page of the system's browser, as wide as the test asks; fails when it logs an error."""
    from playwright.sync_api import sync_playwright

    width, scheme = request.param
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        opened = context.new_page()
        opened.on("console", lambda m: errors.append(m.text) if m.type in {"error", "warning"} else None)
        opened.on("pageerror", lambda e: errors.append(str(e)))
        yield opened
        browser.close()
    assert errors == []


@pytest.mark.slow
@pytest.mark.chromium
@pytest.mark.parametrize("page", [(1440, "light"), (390, "dark")], indirect=True)
def test_a_person_approves_and_changes_in_a_browser(page: Page, started: Started) -> None:
    """In a browser, wide and narrow: the link opens the list, nothing overflows, approve and change are recorded."""
    page.goto(f"{started.url}/?token={TOKEN}")
    assert page.url == f"{started.url}/"
    assert page.evaluate(OVERFLOW) <= 0
    rows = page.locator("tbody tr")
    first = rows.first.get_attribute("id")
    rows.first.get_by_role("button", name="Approve").click()
    page.wait_for_url(f"**/#{first}")
    assert "Approved" in rows.first.inner_text()
    changeable = page.locator("tbody tr:not(.done):has(select)").first
    second = changeable.get_attribute("id")
    changeable.get_by_role("button", name="Change").click()
    page.wait_for_url(f"**/#{second}")
    assert page.locator(f"[id='{second}'] .verdict").inner_text().startswith("Changed to ")
    assert page.evaluate(OVERFLOW) <= 0


CONTRAST = """() => {
  const lum = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126*r + 0.7152*g + 0.0722*b };
  const back = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$/.test(c) && c !== 'transparent') return c; } return 'rgb(255, 255, 255)' };
  return [...document.querySelectorAll('body *')].filter(e => [...e.childNodes].some(n => n.nodeType === 3 &&
      n.textContent.trim())).map(e => { const a = lum(getComputedStyle(e).color), b = lum(back(e));
      return [e.tagName + '.' + e.className, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)] })
    .filter(([_, ratio]) => ratio < 4.5);
}"""
UNNAMED = """() => [...document.querySelectorAll('button, select, input:not([type=hidden]), a, img')].filter(e =>
    !(e.getAttribute('aria-label') || e.textContent.trim() || e.hasAttribute('alt'))).map(e => e.outerHTML)"""


@pytest.mark.slow
@pytest.mark.chromium
@pytest.mark.parametrize("page", [(1440, "light"), (1440, "dark")], indirect=True)
def test_the_page_can_be_read_and_used_by_everyone(page: Page, started: Started) -> None:
    """Every text has a contrast of at least 4.5 to its ground and every control a name; the focus can be seen."""
    from playwright.sync_api import expect

    page.goto(f"{started.url}/?token={TOKEN}")
    for judged, verdict in enumerate(("Approve", "Reject", "Change"), start=1):
        page.locator("tbody tr:not(.done):has(select)").first.get_by_role("button", name=verdict).click()
        expect(page.locator("tr.done")).to_have_count(judged)
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(UNNAMED) == []
    assert page.locator("h1").count() == 1
    assert page.locator("main").count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
