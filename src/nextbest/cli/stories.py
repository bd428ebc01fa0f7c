"""What a stage or command says to a person: the figures that matter, in sentences, from the same document as --json."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Document = Mapping[str, Any]
Story = Callable[[Document], Iterator[str]]

SURE = 1.0
# Figures to show first, ranking before calibration before money; others follow while there is room.
MAIN = ("auc", "normalised_gini", "concordance", "log_loss", "integrated_brier", "ece", "wape", "total_error", "mae")
SHOWN = 4
WIDTH = 9
HELD = "interval_held"
FINE = 100


def load(said: Document) -> Iterator[str]:
    """Tell what was read, what each file was taken for, and what was refused and why."""
    read, kept, refused = (sum(f[k] for f in said["files"]) for k in ("rows_read", "rows_accepted", "rows_rejected"))
    yield f"{read:,} rows read = {kept:,} accepted + {refused:,} rejected."
    yield f"{_counted(said['subjects'], 'subject')} known."
    if said.get("duplicates_joined"):
        yield f"{said['duplicates_joined']:,} entries turned out to be somebody who was there already, and were joined."
    for file in said["files"]:
        yield from _file(file)
    yield from said.get("notes") or ()
    if said.get("consent"):
        yield said["consent"]


def _file(file: Document) -> Iterator[str]:
    taken = file["recognised_as"]
    held = ", ".join(f"{n:,} {kind}" for kind, n in file.get("by_kind", {}).items()) or "nothing new"
    again = " (loaded before)" if file.get("already_loaded") else ""
    yield f"  {file['file']}: {taken['system']} {taken['table']}{again}, {file['rows_read']:,} rows: {held}"
    if taken["confidence"] < SURE:
        yield f"    proposed with confidence {taken['confidence']:.2f}; correct it with --as and --map:"
        yield from (f"    {line}" for line in file.get("mapping", ()))
    if file.get("rows_corrected"):
        rows = _counted(file["rows_corrected"], "known row")
        yield f"    {rows} came with other values, which replace the earlier ones."
    if file["rows_rejected"]:
        yield f"    {file['rows_rejected']:,} rejected; line, column and reason of each: {file['rejected_file']}"
    yield from (f"    {note}" for note in file.get("notes", ()))


def _problem(problem: Document) -> str:
    if problem["code"] == "rejected_rows":
        return f"{_counted(problem['rows'], 'row')} rejected"
    return f"{problem['code'].replace('_', ' ')} in {_counted(problem['rows'], 'row')}"


def check(said: Document) -> Iterator[str]:
    """Tell the problems, each with what to do, and which tables have none."""
    found = False
    for table in said["tables"]:
        for problem in table["problems"]:
            found = True
            where = f", {problem['column']}" if problem["column"] else ""
            yield f"{table['kind']}{where}: {_problem(problem)}."
            yield f"  {problem['what_to_do']}{_examples(problem)}"
    if not said["tables"]:
        yield "There is no data yet. Load some: nextbest load FILE..."
    elif not found:
        yield "No problems found."


def _examples(problem: Document) -> str:
    shown = [str(e) for e in problem.get("examples", ())][:3]
    return f" For example: {', '.join(shown)}." if shown else ""


def fit(said: Document) -> Iterator[str]:
    """Tell how the recipe did on data it did not learn from, beside its baselines, and what moves it."""
    if said["status"] != "ok":
        yield f"{said['recipe']}: {said['status'].replace('_', ' ')}. {said['why']}"
        return
    judged = said.get("evaluation") or "data it did not learn from"
    yield f"{said['recipe']}: learnt from {said['rows']:,} rows; judged by {judged}."
    if said["why"]:
        yield said["why"]
    yield from _figures(said["metrics"], said["baselines"])
    yield from (f"  left out: {x['column']} ({x['why']})" for x in said.get("left_out", ()))
    yield from (f"  moves it: {x['sentence']}" for x in said.get("top_features", ())[:5])


def _figures(ours: Document, baselines: Document) -> Iterator[str]:
    """Tell the figures that matter, beside those of the baselines; with nothing to compare, each by its name."""
    rows = {name.replace("_", " "): metrics for name, metrics in {"this model": ours, **baselines}.items()}
    shared = [n for n in ours if len({metrics.get(n) for metrics in rows.values()}) > 1 or n in MAIN]
    shared = [n for n in shared if any(n in metrics for metrics in baselines.values())]
    names = [*(n for n in MAIN if n in shared), *(n for n in shared if n not in (*MAIN, HELD))][:SHOWN]
    if not names:
        yield from (f"  {name.replace('_', ' ')}: {value:,.4g}" for name, value in ours.items() if value is not None)
        return
    first = max(map(len, rows))
    yield f"  {'':{first}}" + "".join(f"  {n.replace('_', ' '):>{WIDTH}}" for n in names)
    for name, metrics in rows.items():
        yield f"  {name:{first}}" + "".join(f"  {_cell(metrics.get(n)):>{max(WIDTH, len(n))}}" for n in names)
    if HELD in ours:
        yield f"  its intervals held what came in {ours[HELD]:.0%} of cases"


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.3f}" if abs(value) < FINE else f"{value:,.0f}"


def predict(said: Document) -> Iterator[str]:
    """Tell how many were scored, or which rows a forecast or plan has, and where they are."""
    columns = said.get("columns") or ["subject_id"]
    where = f", written to {said['out']}" if said.get("out") else ""
    if "subject_id" in columns:
        yield f"{_counted(said['rows'], 'subject')} scored{where}."
        return
    yield f"{_counted(said['rows'], 'row')}{where}: {', '.join(columns)}."
    if not where:
        yield "  To read them, write them to a file: --out FILE.csv"


def watch(said: Document) -> Iterator[str]:
    """Tell of each recipe whether it still sees what it learnt from, of each play whether its log is sound."""
    for found in said["recipes"]:
        verdict = "drifted" if found["drifted"] else found["status"].replace("_", " ")
        yield f"{found['recipe']}: {verdict}. {found['why']}"
        yield f"  learnt as of {found['then'][:10]}, seen as of {found['now'][:10]}; model {found['model_id']}"
    for found in said.get("plays", ()):
        yield f"{found['play']}: {'drifted' if found['drifted'] else 'ok'}, {_counted(found['decisions'], 'decision')}."
        yield from (f"  {line}" for check in found["checks"] for line in _check(check))
        if not found["checks"]:
            yield f"  {found['why']}"
    if not said["recipes"] and not said.get("plays"):
        yield "Nothing has been fitted or decided yet, so there is nothing to watch. Start: nextbest fit RECIPE."


def rollout(said: Document) -> Iterator[str]:
    """Tell where a play stands, the evidence for its next step, and what became of the step asked for."""
    if said["taken"]:
        yield f"Taken: {said['taken']}. It binds every worker within a second."
    since = f", since {said['since'][:16]}" if said["since"] else ""
    yield f"{said['play']} is at {said['step']}{since}. {said['why']}"
    if said["next"] and said["checks"]:
        yield f"  evidence for {said['next']}: {'enough' if said['ready'] else 'not enough'}"
        yield from (f"  {line}" for check in said["checks"] for line in _check(check))
    if said["missing"]:
        yield "REFUSED. What is missing:"
        yield from (f"  {line}" for line in said["missing"])
        yield "  To take it all the same: --force --why TEXT"


def models(said: Document) -> Iterator[str]:
    """Tell the versions of models, and which one serves."""
    for found in said["models"]:
        serves = f"SERVES since {found['since'][:16]}: {found['why']}" if found["serves"] else "kept"
        figures = ", ".join(f"{name} {value:.3f}" for name, value in found["metrics"].items() if name in MAIN)
        yield f"{found['recipe']}: {found['model_id']}, learnt as of {found['as_of'][:10]}, {serves}"
        if figures:
            yield f"  {figures}"
    if not said["models"]:
        yield "Nothing has been fitted yet. Start: nextbest fit RECIPE."


def _check(check: Document) -> Iterator[str]:
    if check["status"] != "ok":
        yield f"{check['name'].replace('_', ' ')}: cannot tell. {check['why']}"
        return
    verdict = "ok" if check["ok"] else "NOT ok"
    figures = f"{check['figure']:.4g}, limit {check['limit']:.4g}"
    yield f"{check['name'].replace('_', ' ')}: {verdict} ({figures}). {check['why']}"
    if check["what_to_do"]:
        yield f"  {check['what_to_do']}"


def _allocation(said: Document) -> Iterator[str]:
    """Tell how much of a budget is used, how near the plan is to the best there could be, and what is short."""
    if not said:
        return
    if said["budget"] is not None:
        yield f"  spends {said['spent']:,.2f} of {said['budget']:,.2f} (planned {said['planned_spend']:,.2f})"
    bound = f"no plan within the limits earns more than {said['bound']:,.2f} (gap {said['gap']:.3%})"
    yield f"  planned to earn {said['value']:,.2f}; {bound}"
    prices = dict(said["prices"]["per_action"])
    if said["prices"]["budget"]:
        yield f"  one more unit of budget would earn {said['prices']['budget']:,.2f} on top of itself"
    if prices:
        yield "  one more place would earn: " + ", ".join(f"{name} {price:,.2f}" for name, price in prices.items())


def decide(said: Document) -> Iterator[str]:
    """Tell what is done for how many, what was ruled out by which rule, and what it should earn."""
    yield f"{_counted(said['decided'], 'subject')} decided: {_listed(said['by_action'])}."
    if said["removed_by"]:
        yield f"  ruled out: {_listed(said['removed_by'])}"
    if said["by_arm"]:
        yield f"  arms: {_listed(said['by_arm'])}"
    yield f"  expected over doing nothing: {said['expected_value']:,.2f} (effects are assumed until they are measured)"
    yield from _allocation(said.get("allocation") or {})
    if said.get("degraded"):
        yield f"  the chance or the value of a response is not known for {_counted(said['degraded'], 'subject')}"
    if said.get("out"):
        yield f"  written to {said['out']}"
    if not said["decided"]:
        yield "  Nobody is in the play's audience now. Plays are set in nextbest.toml."
    for note in said.get("notes") or ():
        yield f"  {note}"


def send(said: Document) -> Iterator[str]:
    """Tell what was sent, held and refused."""
    would = "would be sent" if said.get("dry_run") else "sent"
    yield f"{said['sent']:,} {would} by {said['channel']}."
    yield f"  {said['already_sent']:,} sent before, {said['retry']:,} to try again, {said['failed']:,} failed"
    for what in ("removed", "held"):
        if said.get(what):
            yield f"  {what}: {_listed(said[what])}"


def measure(said: Document) -> Iterator[str]:
    """Tell the effect with its interval, or why it cannot be told."""
    if said["status"] != "ok":
        yield f"{said['outcome']}: {said['status'].replace('_', ' ')}. {said['why']}"
        return
    if "estimators" in said.get("details", {}):
        yield from _replayed(said)
        return
    low, high = said["low"], said["high"]
    verdict = "it may be nought: the interval holds 0" if low <= 0 <= high else "the interval does not hold 0"
    yield (
        f"{said['outcome']}: {said['estimate']:+,.4g} per subject against {said['baseline']}, "
        f"{said['level']:.0%} interval {low:+,.4g} to {high:+,.4g} "
        f"({said['design']}, {said['n']:,} subjects); {verdict}."
    )
    if said["why"]:
        yield f"  {said['why']}"


def _replayed(said: Document) -> Iterator[str]:
    """Tell what another policy would have earned, what it rests on, and for whom."""
    low, high, more, known = said["low"], said["high"], said["estimate"], said["details"]
    verdict = "It may be nought: the interval holds 0." if low <= 0 <= high else "The interval does not hold 0."
    yield (
        f"Had '{known['policy']}' run, each {known['per']} would have earned {abs(more):,.4g} {said['outcome']} "
        f"{'less' if more < 0 else 'more'} ({said['level']:.0%} interval {low:+,.4g} to {high:+,.4g}): "
        f"{known['value']['estimate']:,.4g} instead of {known['logged']['estimate']:,.4g}. {verdict}"
    )
    yield (
        f"  from {said['n']:,} {known['per']}s, worth {known['effective_n']:,.0f} of this policy's own; "
        f"by {known['estimator']}; the heaviest 1% hold {known['weight_in_top_percent']:.0%} of the weight; "
        f"{known['supported']:.1%} of what it would do was tried."
    )
    if "arms" in known:
        yield f"  {known['arms']}"
    for name, each in known.get("groups", {}).items():
        yield f"  {name}: {_group(each)}"
    if said["why"]:
        yield f"  {said['why']}"


def _group(said: Document) -> str:
    if said["status"] != "ok":
        return f"{said['status'].replace('_', ' ')}. {said['why']}"
    return f"{said['estimate']:+,.4g} ({said['low']:+,.4g} to {said['high']:+,.4g}), {said['n']:,}"


def live(said: Document) -> Iterator[str]:
    """Tell what made-up visitors were shown, and what was learnt of them."""
    yield f"{said['visits']:,} made-up visitors in two hours (simulated): {_listed(said['by_action'])}."
    yield f"  {said['clicks']:,} clicked; every click counts for the visitors after it"
    for device, shares in said["shown_by_device_in_the_second_half"].items():
        yield f"  {device}, second half: " + ", ".join(f"{share:.0%} {name}" for name, share in shares.items())


def explain(said: Document) -> Iterator[str]:
    """Tell the sentences."""
    yield from said["sentences"]


def erase(said: Document) -> Iterator[str]:
    """Tell what went, and the receipt."""
    would = "would go" if said.get("dry_run") else "removed"
    yield f"{said['subject_id']}: {_listed(said['removed']) or 'nothing'} {would}."
    if said["models_marked"]:
        yield f"  to be fitted again, as they learnt from them: {', '.join(said['models_marked'])}"
    if said.get("receipt_id") and not said.get("dry_run"):
        yield f"  receipt {said['receipt_id']}"


def verify(said: Document) -> Iterator[str]:
    """Tell whether everything verifies."""
    yield f"Sound: {said['links']:,} links, head {said['head']}." if said["ok"] else "NOT sound:"
    yield from (f"  {p}" for p in said["problems"])


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in counts.items())


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


STORIES: dict[str, Story] = {
    "load": load,
    "check": check,
    "fit": fit,
    "predict": predict,
    "watch": watch,
    "decide": decide,
    "send": send,
    "measure": measure,
    "live": live,
    "rollout": rollout,
    "models": models,
    "explain": explain,
    "erase": erase,
    "verify": verify,
}
