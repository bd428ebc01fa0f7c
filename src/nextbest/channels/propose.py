"""A mapping for a file that no dictionary knows, from names, types and values, with a confidence per column.

customer_id, date, number_of_cds, dollar_value    ->  order: one row per line
Kundennr; Bestellnr; Datum; Artikel; Menge; Betrag -> order_line per line, order per Bestellnr
customerID, gender, tenure, ...                   ->  subjects: one row per customer
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from nextbest.channels.headers import words
from nextbest.channels.override import positions
from nextbest.channels.profile import profiles
from nextbest.channels.roles import EXACT, Role, dictionary, roles
from nextbest.channels.used import completed
from nextbest.ledger.kinds import KINDS
from nextbest.ledger.kinds import kind as find_kind
from nextbest.ledger.mapping import ColumnRule, Emit, FileMapping

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nextbest.channels.files import Opened
    from nextbest.channels.profile import Profile
    from nextbest.ledger.kinds import Kind
    from nextbest.ledger.mapping import Aggregate, Parse

SYSTEM = "file"
WHO = ("subject_id", "email", "phone")
_ADDED_UP = frozenset({"quantity", "revenue", "discount", "shipping", "tax"})
_IDS = ("_id", "_ref", "coupon", "sku", "campaign")
_STAMPED = {
    "opened_ts": "message_open",
    "clicked_ts": "message_click",
    "bounced_ts": "message_bounce",
    "unsubscribed_ts": "unsubscribe",
    "sent_ts": "message",
}
_WHEN = ("ts", "created_ts", *_STAMPED)
_OTHERS = {"account_id": "account", "owner_id": "owner"}
_CONSENT: dict[str, tuple[str, dict[str, str] | None]] = {
    "consent_email": ("email", {}),
    "refused_email": ("email", None),
    "refused_phone": ("phone", None),
}
_ORDER_WORDS = frozenset({
    "order", "orders", "ordered", "purchase", "purchases", "purchased", "invoice", "invoices", "transaction",
    "transactions", "receipt", "receipts", "auftrag", "commande", "commandes", "achat", "achats", "pedido",
    "pedidos", "compra", "compras", "ordine", "ordini", "acquisto", "acquisti",
})  # fmt: skip
_ORDER_STARTS = ("bestell", "rechnung", "kauf", "einkauf", "auftrags")  # German writes Bestelldatum as one word
_FLIPPED = {
    **dict.fromkeys(("yes", "true", "1", "y", "t", "ja"), "false"),
    **dict.fromkeys(("no", "false", "0", "n", "f", "nein"), ""),
}


def propose(opened: Opened, *, kind: str | None = None, overrides: Mapping[str, str] | None = None) -> FileMapping:
    """Give the likely meaning of a file; no emits when nothing in it says whom or what a row is about.

    `kind` fixes what one row is; `overrides` say which column (or position) is which field.
    """
    if kind is not None:
        find_kind(kind)
    said = {at: field for field, at in positions(opened.columns, overrides or {}).items()}
    european = opened.text is not None and (opened.text.decimal == "," or opened.text.delimiter == ";")
    found = _someone(roles(profiles(opened.sample, european=european), said=said))
    stem = PurePosixPath(opened.name).name.split(".", 1)[0]
    chosen, sure = (kind, 1.0) if kind else guess(found, columns=len(opened.columns))
    if kind is None and chosen == "custom" and not found.keys() & {"name", "event"}:
        chosen = "order" if says_order([stem, *(() if opened.unnamed else opened.columns)]) else chosen
    emits = _emits(chosen, found, stem, unnamed=opened.unnamed) if chosen else ()
    sureness = min([sure, *(r.confidence for r in _essential(chosen, found))]) if emits else 0.0
    made = FileMapping(system=SYSTEM, table=stem, confidence=round(sureness, 2), emits=emits)
    return completed(made, opened.columns)


def guess(found: Mapping[str, Role], *, columns: int) -> tuple[str | None, float]:
    """Give what one row most likely is, and how sure that is; None when it is about nobody and nothing."""
    has = found.keys()
    who = any(w in has for w in WHO)
    when = any(w in has for w in _WHEN)
    if {"deal_id", "stage"} <= has:
        return "deal_stage", 0.9
    if who and when:
        return _event(found, columns)
    if when and "value" in has and len(has) <= 4:
        return "reading", 0.7
    if "product_id" in has and not who and has & {"price", "category", "brand", "name", "money"}:
        return "items", 0.7
    if who and found[next(w for w in WHO if w in has)].profile.unique:
        return "subjects", 0.8
    return ("subjects", 0.4) if who else (None, 0.0)


def says_order(names: Iterable[str]) -> bool:
    """Tell whether a file's name or one of its headers speaks of orders."""
    return any(w in _ORDER_WORDS or w.startswith(_ORDER_STARTS) for name in names for w in words(name))


def _event(found: Mapping[str, Role], columns: int) -> tuple[str, float]:
    """Give the first kind of event whose marks are there; one row per person with a date of joining is no event."""
    has = found.keys()
    stamped = next((kind for stamp, kind in _STAMPED.items() if stamp in has), None)
    order_like = bool(has & {"order_id", "quantity", "price", "money"})
    marks: tuple[tuple[bool, str, float], ...] = (
        ("ticket_id" in has, "ticket", 0.8),
        (stamped is not None, stamped or "", 0.7),
        (_one_each(found, columns), "subjects", 0.6),
        ("product_id" in has and order_like, "order_line", 0.8),
        (bool(has & {"order_id", "money"}), "order", 0.8),
        ("rating" in has, "review", 0.7),
        (bool(has & {"url", "session_id", "referrer", "device"}), "page_view", 0.6),
        ("coupon" in has, "coupon_redeem", 0.6),
    )
    return next(((kind, sure) for holds, kind, sure in marks if holds), ("custom", 0.5))


def _one_each(found: Mapping[str, Role], columns: int) -> bool:
    """Tell whether the table has one row per person: nobody twice, and no column that can only be an event's time."""
    if "order_id" in found or not found[next(w for w in WHO if w in found)].profile.unique:
        return False
    if "ts" not in found:
        return True
    return columns > 6 and found["ts"].confidence < EXACT


def _someone(found: dict[str, Role]) -> dict[str, Role]:
    """Give the roles with an account or a sales person as the subject, where the table is a list of these."""
    if found.keys() & {*WHO, "deal_id", "ticket_id", *_WHEN}:
        return found
    other = next((o for o in _OTHERS if o in found and found[o].profile.unique), None)
    return found if other is None else {"subject_id": found[other], **{k: v for k, v in found.items() if k != other}}


# --- emits ------------------------------------------------------------------------------------------------------------


def _emits(chosen: str, found: Mapping[str, Role], stem: str, *, unnamed: bool) -> tuple[Emit, ...]:
    """Give the emits of a kind: orders beside their lines, attributes and permissions beside subjects."""
    kinds = [chosen]
    if chosen == "order_line" and "order_id" in found and "money" in found:
        kinds.append("order")
    emits = [_emit(name, found, stem, unnamed=unnamed, lines=len(kinds) > 1 and name == "order") for name in kinds]
    if chosen == "subjects":
        emits += [_consent(role, found, unnamed=unnamed) for role in _CONSENT if role in found]
    return tuple(e for e in emits if e is not None)


def _emit(name: str, found: Mapping[str, Role], stem: str, *, unnamed: bool, lines: bool = False) -> Emit | None:
    kind = find_kind(name)
    columns = tuple(_columns(kind, found, unnamed=unnamed, lines=lines))
    subject = _subject(found, unnamed=unnamed) if name != "items" else ()
    constants: dict[str, str] = {}
    subject_type = _subject_type(found)
    if name == "deal_stage" and not subject and (at := found.get("deal_id")):
        subject, subject_type = (_rule("subject_id", at, "id", unnamed=unnamed),), "deal"
    if name in {"reading", "spend"} and not subject:
        constants, subject_type = {"subject_id": stem}, "device" if name == "reading" else "campaign"
    if name == "custom" and not any(r.to == "name" for r in columns):
        constants = {"name": stem}
    needed = {"ts"} if kind.event else {"item_id"} if name == "items" else set()
    if needed - {r.to for r in columns} or not (subject or constants or name == "items"):
        return None
    group = (_source(found["order_id"], unnamed=False),) if lines else ()
    return Emit(
        kind=name,
        columns=columns,
        subject=subject,
        subject_type=subject_type,
        constants=constants,
        group_by=tuple(str(g) for g in group),
    )


def _columns(kind: Kind, found: Mapping[str, Role], *, unnamed: bool, lines: bool) -> list[ColumnRule]:
    """Give a rule for every column of the kind that a role fills, the surest role first."""
    places = dictionary()["kinds"].get(kind.name, {})
    known = {c.name for c in kind.columns}
    taken: dict[str, ColumnRule] = {}
    for role, at in sorted(found.items(), key=lambda item: (item[0] not in known, -item[1].confidence)):
        to = role if role in known and places.get(role) != "" else places.get(role, "")
        if to and to in known and to not in taken and to != "subject_id":
            how: Aggregate = "sum" if lines and to in _ADDED_UP else "first"
            parse = _parse(kind, to, at.profile)
            taken[to] = _rule(to, at, parse, unnamed=unnamed, aggregate=how, required=to == "ts")
    return sorted(taken.values(), key=lambda r: (r.to != "ts", [c.name for c in kind.columns].index(r.to)))


def _subject(found: Mapping[str, Role], *, unnamed: bool) -> tuple[ColumnRule, ...]:
    parses: dict[str, Parse] = {"subject_id": "id", "email": "email", "phone": "phone"}
    return tuple(_rule(who, found[who], parse, unnamed=unnamed) for who, parse in parses.items() if who in found)


def _consent(role: str, found: Mapping[str, Role], *, unnamed: bool) -> Emit:
    """Give the permission a column tells; a column of refusals tells only refusals."""
    channel, flipped = _CONSENT[role]
    rule = _rule("allowed", found[role], "boolean", unnamed=unnamed, values=_FLIPPED if flipped else {})
    return Emit(
        kind="consent",
        columns=(rule,),
        subject=_subject(found, unnamed=unnamed),
        constants={"purpose": "marketing", "channel": channel},
    )


def _parse(kind: Kind, to: str, profile: Profile) -> Parse:
    type_ = kind.column(to).type
    if type_ == "timestamp":
        return profile.moment or "timestamp"
    if type_ != "text":
        return type_
    if to in {"email", "phone"}:
        return "email" if to == "email" else "phone"
    return "id" if to.endswith(_IDS) or to in {"store", "account_id"} else "text"


def _rule(
    to: str,
    role: Role,
    parse: Parse,
    *,
    unnamed: bool,
    aggregate: Aggregate = "first",
    required: bool = False,
    values: Mapping[str, str] | None = None,
) -> ColumnRule:
    return ColumnRule(
        to=to,
        source=_source(role, unnamed=unnamed),
        parse=parse,
        required=required,
        aggregate=aggregate,
        values=values or {},
        confidence=round(role.confidence, 2),
    )


def _source(role: Role, *, unnamed: bool) -> str | int:
    return role.profile.position if unnamed else role.profile.name


def _subject_type(found: Mapping[str, Role]) -> str:
    """Give what the subjects are, from the name of their column."""
    said = set(words(found["subject_id"].profile.name)) if "subject_id" in found else set()
    named = {"lead": "lead", "prospect": "lead", "account": "account", "agent": "owner", "rep": "owner"}
    return next((kind for word, kind in named.items() if word in said), "customer")


def _essential(chosen: str | None, found: Mapping[str, Role]) -> list[Role]:
    """Give the roles without which the guess falls: who, and when."""
    if chosen is None or chosen not in KINDS:
        return []
    names = [*WHO, "ts"] if KINDS[chosen].event else list(WHO)
    return [found[n] for n in names if n in found][:2]
