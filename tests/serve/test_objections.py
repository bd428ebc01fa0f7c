"""One-click unsubscribe and Sec-GPC: no login, never by a GET, durable before the answer, binding the next decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient
from tests.serve.conftest import BASE, CONFIG, NOW, clock, order

from nextbest import doors, operations, verbs
from nextbest.channels.outgoing import outgoing
from nextbest.errors import ConfigError
from nextbest.ledger import unsubscribe
from nextbest.serve import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.serve.conftest import Started

    from nextbest.ledger import Ledger

FLAGS = ["--no-sandbox", "--disable-gpu"]
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
PARTS = (
    b'--b1\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b1--\r\n',
    "multipart/form-data; boundary=b1",
)
URL = "https://next.example.com"


def link(ledger: Ledger, subject: str = "c2", channel: str = "email") -> str:
    """Give the path of somebody's link."""
    about = unsubscribe.Link(subject_id=subject, play="win_back", purpose="marketing", channel=channel)
    return f"/u/{unsubscribe.token(ledger.secret, about)}"


def answers(ledger: Ledger, subject: str = "c2") -> list[tuple[Any, ...]]:
    """Give what is on record about somebody: allowed, channel, proof."""
    with ledger.journal.read() as connection:
        asked = "SELECT allowed, channel, proof FROM consent WHERE subject_id = ? ORDER BY version"
        return connection.execute(asked, (subject,)).fetchall()


def barred(client: TestClient, subject: str = "c2", **headers: str) -> set[str | None]:
    """Give the rules that keep the next decision about somebody from reaching them; None where nothing does."""
    body = {"play": "win_back", "subject_id": subject}
    made = client.post("/v1/decide", json=body, headers=headers).json()
    logged = client.get(f"/v1/decisions/{made['decision_id']}").json()
    rules = {c["removed_by"] for c in logged["candidates"] if c["action_id"] == "note"}
    assert None in rules or made["action_id"] == "none"
    return rules


def test_one_click_binds_the_next_decision(anyone: TestClient, admin: TestClient, ledger: Ledger) -> None:
    """The post of a mail program, without key or cookie, is a no from the next decision on, with its proof."""
    assert barred(admin) == {None}
    answer = anyone.post(link(ledger), data=ONE_CLICK)
    assert (answer.status_code, "set-cookie" in answer.headers) == (200, False)
    assert barred(admin) == {"consent:denied"}
    assert answers(ledger)[-1] == (0, "email", "one-click unsubscribe (RFC 8058), play win_back")


def test_a_form_in_parts_counts_too(anyone: TestClient, ledger: Ledger) -> None:
    """RFC 8058 allows multipart/form-data: it is taken as the other form is."""
    body, media = PARTS
    assert anyone.post(link(ledger), content=body, headers={"Content-Type": media}).status_code == 200
    assert answers(ledger)[-1][0] == 0


def test_looking_changes_nothing(anyone: TestClient, ledger: Ledger) -> None:
    """A GET or HEAD, as scanners of mail send them, shows a page with a button and records nothing."""
    before = answers(ledger)
    page = anyone.get(link(ledger))
    assert page.status_code == 200
    assert anyone.head(link(ledger)).status_code == 200
    assert answers(ledger) == before
    assert 'method="post"' in page.text
    assert "One-Click" in page.text
    assert "<script" not in page.text
    assert "c2" not in page.text
    assert "corner-shop" in page.text


def test_twice_is_once(anyone: TestClient, ledger: Ledger) -> None:
    """Following a link again answers the same and adds no row; after a new yes it is a new no."""
    first = anyone.post(link(ledger), data=ONE_CLICK)
    rows = answers(ledger)
    assert anyone.post(link(ledger), data=ONE_CLICK).text == first.text
    assert answers(ledger) == rows
    operations.consent(ledger, "c2", allow=True, proof="came back", channel="email")
    anyone.post(link(ledger), data=ONE_CLICK)
    assert [allowed for allowed, *_ in answers(ledger)][-2:] == [1, 0]


def test_an_erased_person_s_link_is_answered(anyone: TestClient, ledger: Ledger) -> None:
    """Whoever was erased meanwhile gets the same answer, and no row about them comes to be."""
    verbs.erase(ledger, "c2")
    assert anyone.post(link(ledger), data=ONE_CLICK).status_code == 200
    assert answers(ledger) == []


@pytest.mark.parametrize("token", ["x", "A" * 86, "A" * 5000, "%00", "é"])
def test_a_link_that_is_none_is_not_found(anyone: TestClient, token: str) -> None:
    """A token that was not sealed here is 404 for GET and POST, and names no workspace."""
    for answer in (anyone.get(f"/u/{token}"), anyone.post(f"/u/{token}", data=ONE_CLICK)):
        assert answer.status_code == 404
        assert "corner-shop" not in answer.text


@pytest.mark.parametrize("data", [{}, {"List-Unsubscribe": "Two-Clicks"}, {**ONE_CLICK, "more": "x"}])
def test_another_body_is_refused(anyone: TestClient, ledger: Ledger, data: dict[str, str]) -> None:
    """Only what RFC 8058 says is taken for a click."""
    before = answers(ledger)
    assert anyone.post(link(ledger), data=data).status_code in {400, 415}
    assert answers(ledger) == before


def test_a_foreign_page_cannot_click(anyone: TestClient, ledger: Ledger) -> None:
    """A page of another origin gets 403; the page of the link itself is of this origin."""
    foreign = anyone.post(link(ledger), data=ONE_CLICK, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert anyone.post(link(ledger), data=ONE_CLICK, headers={"Origin": BASE}).status_code == 200


@pytest.fixture
def sending(tmp_path: Path) -> Iterator[Ledger]:
    """Make a shop that knows its public address, with a decision to carry out for everyone."""
    text = CONFIG.replace("[server]", f'[server]\npublic_url = "{URL}"').replace("explore = 0.1", "explore = 0.0")
    with operations.create(tmp_path / "sending", config_text=text, clock=clock) as ledger:
        verbs.ingest(ledger, [order(10 * s + k, s, 20 + 30 * k) for s in range(4) for k in range(3)])
        for s in range(4):
            operations.consent(ledger, f"c{s}", allow=True, proof="form", channel="email")
        verbs.decide(ledger, "win_back", as_of=NOW)
        yield ledger


def test_every_message_says_how_to_end_them(sending: Ledger, tmp_path: Path) -> None:
    """A message carries both headers; its link, posted as it stands, is a no of its subject and nobody else."""
    sent = verbs.send(sending, "win_back", channel="csv", path=str(tmp_path / "out.csv"))
    assert sent.sent > 0
    from nextbest.channels.csv import read_csv

    rows = read_csv(tmp_path / "out.csv").to_pylist()
    assert {row["list_unsubscribe_post"] for row in rows} == {"List-Unsubscribe=One-Click"}
    links = {row["subject_id"]: row["list_unsubscribe"] for row in rows}
    assert len(set(links.values())) == len(links)
    subject, header = next(iter(links.items()))
    assert header.startswith(f"<{URL}/u/")
    assert any(one not in link for one, link in links.items())  # two letters stand in a random link now and then
    anyone = TestClient(create_app(sending), base_url=URL)
    assert anyone.post(urlsplit(header.strip("<>")).path, data=ONE_CLICK).status_code == 200
    assert [s for s in links if answers(sending, s)[-1][0] == 0] == [subject]


def test_without_an_address_there_is_no_link(ledger: Ledger) -> None:
    """A workspace that does not know its public address sends messages without the headers; a wrong one is refused."""
    play = verbs.find_play(ledger, "win_back")
    table = outgoing(ledger, play)
    assert table.num_rows > 0
    assert table["list_unsubscribe"].null_count == table.num_rows
    with operations.open(ledger.path, clock=clock) as other:
        (other.path / "nextbest.toml").write_text(CONFIG.replace("[server]", '[server]\npublic_url = "next"'))
    with operations.open(ledger.path, clock=clock) as other, pytest.raises(ConfigError, match="public_url"):
        outgoing(other, play)


def test_gpc_binds_its_decision(admin: TestClient, ledger: Ledger) -> None:
    """With Sec-GPC: 1 the decision does nothing outbound; without it the next one may, for nothing was recorded."""
    before = answers(ledger)
    assert None not in barred(admin, **{"Sec-GPC": "1"})
    assert barred(admin) == {None}
    assert answers(ledger) == before


def test_gpc_can_be_recorded(tmp_path: Path) -> None:
    """Where [consent] gpc is record, one request with the signal is a no to marketing, once, with its proof."""
    text = CONFIG.replace('regime = "opt_in"', 'regime = "opt_in"\ngpc = "record"')
    with operations.create(tmp_path / "gpc", config_text=text, clock=clock) as ledger:
        for s in range(4):
            operations.consent(ledger, f"c{s}", allow=True, proof="form", channel="email")
        key = operations.create_key(ledger, "admin")[1]
        client = TestClient(create_app(ledger), base_url=BASE, headers={"Authorization": f"Bearer {key}"})
        signal = {"Sec-GPC": "1"}
        client.post("/v1/decide", json={"play": "win_back", "subject_id": "c0"}, headers=signal).raise_for_status()
        for _ in range(2):
            client.post("/v1/events", json={"events": [order(1, 1, 1)]}, headers=signal).raise_for_status()
        client.post("/v1/events", json={"events": [order(2, 2, 1)]}, headers={"Sec-GPC": "0"}).raise_for_status()
        assert [answers(ledger, f"c{s}")[1:] for s in range(3)] == [[(0, "*", "Sec-GPC")], [(0, "*", "Sec-GPC")], []]
        assert barred(client, "c1") == {"consent:denied"}
        assert doors.objected(ledger, ["c1", "c1"]) == 0


def test_an_operator_s_browser_speaks_for_nobody_else(tmp_path: Path) -> None:
    """The signal of the browser with which today's list is judged is not a customer's."""
    text = CONFIG.replace('regime = "opt_in"', 'regime = "opt_in"\ngpc = "record"')
    with operations.create(tmp_path / "gpc", config_text=text, clock=clock) as ledger:
        person = TestClient(create_app(ledger, token="t"), base_url=BASE)
        person.get("/", params={"token": "t"})
        csrf = {"Origin": BASE, "Sec-GPC": "1"}
        person.post("/v1/events", json={"events": [order(1, 1, 1)]}, headers=csrf)
        assert answers(ledger, "c1") == []


@pytest.mark.slow
@pytest.mark.chromium
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_a_person_ends_messages_in_a_browser(chromium: str, started: Started, width: int, scheme: Any) -> None:
    """Without scripts, wide and narrow: the link shows a button, pressing it says that it is done, and it is."""
    from playwright.sync_api import expect, sync_playwright

    with operations.open(started.folder) as ledger:
        path = link(ledger)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=False
        )
        page = context.new_page()
        page.goto(started.url + path)
        button = page.get_by_role("button", name="Stop them")
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert box["x"] + box["width"] <= width
        button.click()
        expect(page.locator("h1")).to_contain_text("Done")
        assert page.url == started.url + path
        browser.close()
    with operations.open(started.folder) as ledger:
        assert answers(ledger)[-1][0] == 0
