"""The least that a service could do: read the same request, score the same candidates by the same model, and answer.

    python benchmarks/serving/bare.py MODEL PORT

An ASGI application on the same server, with the same settings, as ours; several are started for several workers. It
logs nothing, asks for no permission, knows nobody and explores nothing.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np
import uvicorn

from nextbest.serve.workers import shared_socket


class Table(msgspec.Struct):
    """The candidates of a request."""

    ids: list[str]
    names: list[str]
    values: list[list[float]]


class Body(msgspec.Struct):
    """A request, in the shape that ours takes."""

    play: str
    subject_id: str
    candidates: Table
    context: dict[str, float | str] = {}


def application(model: Path) -> Any:  # noqa: ANN401 (an ASGI application)
    """Give the application."""
    booster = lightgbm.Booster(model_file=str(model))
    decoder = msgspec.json.Decoder(Body)
    headers = [(b"content-type", b"application/json")]

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        raw, more = b"", scope["method"] == "POST"
        while more:
            message = await receive()
            raw += message["body"]
            more = message.get("more_body", False)
        reply = answer(raw) if raw else b"{}"
        length = (b"content-length", str(len(reply)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": reply})

    def answer(raw: bytes) -> bytes:
        table = decoder.decode(raw).candidates
        count = len(table.ids) * len(table.names)
        flat = np.fromiter(itertools.chain.from_iterable(table.values), np.float64, count)
        scores = booster.predict(flat.reshape(len(table.ids), -1), num_threads=1)
        best = int(scores.argmax())
        return msgspec.json.encode({"action_id": table.ids[best], "response_probability": float(scores[best])})

    return app


def main() -> None:
    """Serve until told to stop."""
    model, port = Path(sys.argv[1]), int(sys.argv[2])
    config = uvicorn.Config(application(model), log_level="warning", access_log=False, server_header=False, ws="none")
    uvicorn.Server(config).run(sockets=[shared_socket("127.0.0.1", port)])


if __name__ == "__main__":
    main()
