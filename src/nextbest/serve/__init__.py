"""HTTP over the verbs: one table of routes, one gate in front of all of them, one page. Start at `routes.py`."""

from nextbest.serve.app import create_app
from nextbest.serve.listen import run
from nextbest.serve.workers import run_workers

__all__ = ["create_app", "run", "run_workers"]
