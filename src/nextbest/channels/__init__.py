"""The ways in and out: files, webhooks. A channel carries messages; whether it may is settled before it is asked."""

from __future__ import annotations

import pyarrow as pa

# One row is one decision to carry out: whom, with what, why, and until when.
MESSAGE = pa.schema(
    [
        pa.field("decision_id", pa.string()),
        pa.field("play", pa.string()),
        pa.field("subject_id", pa.string()),
        pa.field("action_id", pa.string()),
        pa.field("channel", pa.string()),
        pa.field("text", pa.string()),
        pa.field("email", pa.string()),
        pa.field("phone", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("expected_value", pa.float64()),
        pa.field("valid_until", pa.timestamp("us", tz="UTC")),
        # What a mail carries as its headers of these names (RFC 8058); null without a [server] public_url.
        pa.field("list_unsubscribe", pa.string()),
        pa.field("list_unsubscribe_post", pa.string()),
    ]
)

# One row is what became of one message: `sent`, `retry` (later, same key) or `failed` (never again), and why.
RECEIPT = pa.schema([pa.field(name, pa.string()) for name in ("decision_id", "status", "detail")])

__all__ = ["MESSAGE", "RECEIPT"]
