"""Sealed and signed tokens: what was put in comes out, and nothing else does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nextbest.ledger import links

SECRET, OTHER = b"s" * 32, b"o" * 32
texts = st.lists(st.text(max_size=60), max_size=4)


@given(texts=texts)
def test_a_token_gives_back_what_was_sealed(texts: list[str]) -> None:
    """What is sealed is read again under the same secret and use, and is nothing under another."""
    token = links.seal(SECRET, "a", texts)
    assert links.unseal(SECRET, "a", token) == tuple(texts)
    assert links.unseal(OTHER, "a", token) is None
    assert links.unseal(SECRET, "b", token) is None
    assert links.seal(SECRET, "a", texts) == token


@given(texts=texts, place=st.integers(0, 10_000), change=st.integers(1, 63))
def test_a_changed_token_is_nothing(texts: list[str], place: int, change: int) -> None:
    """A token with another character in any place, cut, or longer is not known."""
    token = links.seal(SECRET, "a", texts)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    at = place % (len(token) - 1)  # the bits of the last character are not all used
    other = letters[(letters.index(token[at]) + change) % 64]
    assert links.unseal(SECRET, "a", token[:at] + other + token[at + 1 :]) is None
    assert links.unseal(SECRET, "a", token[:-4]) is None
    assert links.unseal(SECRET, "a", f"{token}AAAA") is None


@given(text=st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_any_other_text_is_nothing(text: str) -> None:
    """A text that nobody sealed is not known, and breaks nothing."""
    assert links.unseal(SECRET, "a", text) is None


def test_a_token_shows_nothing() -> None:
    """The token holds no text in clear, is safe in a URL, and ids of like length have tokens of one length."""
    tokens = [links.seal(SECRET, "a", (who, "play", "marketing")) for who in ("jane@example.com", "jo@example.com")]
    assert all(t.replace("-", "").replace("_", "").isalnum() for t in tokens)
    assert len(set(map(len, tokens))) == 1
    assert not any("jane" in t for t in tokens)
    assert links.unseal(SECRET, "a", "A" * 100_000) is None


def test_a_signature_is_of_one_text_and_use() -> None:
    """A signature is good for its text, its use and its secret."""
    made = links.sign(SECRET, "outcome", "d_1")
    assert links.signed(SECRET, "outcome", "d_1", made)
    wrong = [(SECRET, "outcome", "d_2", made), (SECRET, "other", "d_1", made), (OTHER, "outcome", "d_1", made)]
    assert not any(links.signed(*one) for one in [*wrong, (SECRET, "outcome", "d_1", "é")])
