"""What users meet: few names, a fast start, a page for everything."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import nextbest
from nextbest import registry
from nextbest.testing import sample_features, sample_label

if TYPE_CHECKING:
    from collections.abc import Sequence

HELP_SECONDS = 0.3
HEAVY = ("pandas", "sklearn", "lightgbm", "scipy", "duckdb", "pyarrow", "litestar", "shap")
NEVER_WHEN_SERVING = ("pandas", "sklearn", "shap", "matplotlib")
GROUPS = ("recipes", "policies", "models", "measures", "channels")

PREDICT = """
import dataclasses, pathlib
sys.path.insert(0, {folder!r})
from nextbest import registry
from nextbest.testing import sample_features
files = {{p.name: p.read_bytes() for p in (pathlib.Path({folder!r}) / "files").iterdir()}}
model = dataclasses.replace(registry.make("models", {name!r}), files=files)
assert model.predict(sample_features(5)).num_rows == 5
"""


def _loaded(statement: str, suspects: Sequence[str]) -> list[str]:
    """Give the suspects found in sys.modules after a statement in a fresh process."""
    program = f"import sys\n{statement}\nprint(*[m for m in {list(suspects)!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return done.stdout.split()


def test_few_public_names_and_all_are_there() -> None:
    """At most 25 names are public, each can be reached, and the list is sorted."""
    assert len(nextbest.__all__) <= 25
    assert list(nextbest.__all__) == sorted(nextbest.__all__)
    assert [name for name in nextbest.__all__ if getattr(nextbest, name, None) is None] == []


def test_importing_nextbest_imports_nothing_heavy() -> None:
    """The bare import brings in neither the analysis engine nor a model library."""
    assert _loaded("import nextbest", HEAVY) == []


def test_serving_imports_no_scikit_learn_or_pandas() -> None:
    """The serving process gets by without scikit-learn and pandas."""
    assert _loaded("import nextbest.serve", NEVER_WHEN_SERVING) == []


def test_help_is_quick() -> None:
    """The help text costs under 0.3 s of processor time, children included."""
    command = [str(Path(sys.executable).with_name("nextbest")), "--help"]
    costs = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert "decide" in done.stdout
    assert min(costs) < HELP_SECONDS, costs


@pytest.mark.parametrize("group", GROUPS)
def test_every_name_has_a_page(group: str, repository: Path) -> None:
    """Every recipe has its own page, every other maker is named in the reference."""
    docs = repository / "docs"
    if group == "recipes":
        pages = {p.stem for p in (docs / "recipes").glob("*.md")}
        assert [name for name in registry.BUILT_IN[group] if name not in pages] == []
        return
    reference = "\n".join(p.read_text(encoding="utf-8") for p in (docs / "reference").glob("*.md"))
    assert [name for name in registry.BUILT_IN[group] if f"`{name}`" not in reference] == []


@pytest.mark.parametrize("group", GROUPS)
def test_every_name_leads_to_a_class(group: str) -> None:
    """Every name of the registry can be imported and constructed from its settings."""
    for name in registry.BUILT_IN[group]:
        assert isinstance(registry.find(group, name), type)


def test_recipe_pages_have_the_six_headings(repository: Path) -> None:
    """A recipe page answers six questions, in order."""
    wanted = [
        "The question",
        "The table it needs",
        "The call",
        "The answer",
        "How we know it is right",
        "When not to use it",
    ]
    for page in sorted((repository / "docs/recipes").glob("*.md")):
        lines = page.read_text(encoding="utf-8").splitlines()
        found = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
        assert page.stem == "index" or found == wanted, page.name


@pytest.mark.parametrize("name", registry.BUILT_IN["models"])
def test_predicting_imports_no_scikit_learn_or_pandas(name: str, tmp_path: Path) -> None:
    """A process that restores a model from its files and predicts imports no scikit-learn, and needs no pandas."""
    features = sample_features(200)
    fitted = registry.make("models", name).fit(features, sample_label(features))
    (tmp_path / "files").mkdir()
    for file, content in fitted.files.items():
        (tmp_path / "files" / file).write_bytes(content)
    # pandas is shut out: pyarrow imports it by itself wherever it is installed
    (tmp_path / "pandas.py").write_text("raise ImportError('shut out')", encoding="utf-8")
    program = PREDICT.format(name=name, folder=str(tmp_path))
    assert _loaded(program, NEVER_WHEN_SERVING) == []
