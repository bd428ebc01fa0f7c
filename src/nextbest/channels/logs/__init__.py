"""Logs of other decision engines, brought into the decision log: what they chose, for whom, and with which chance.

    systems.py   which headers are whose, and what each column means         sheet.py     a file as columns of text
    plain.py     one line, one decision                                      pega.py      several lines, one decision
    ranked.py    one line, one list of items in order                        answers.py   lines that are outcomes
    estimate.py  the chance of a choice, where the log does not say it       rows.py      rows of the decision log

A word of another engine is mapped in `systems.py` or not at all: what Pega calls Propensity is the chance that a
customer responds, what BanditDB calls propensity is the chance that the engine chose.
"""

from nextbest.channels.logs.load import DECISIONS, load_log

__all__ = ["DECISIONS", "load_log"]
