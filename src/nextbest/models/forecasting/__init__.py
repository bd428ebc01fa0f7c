"""Demand to come: statistical methods per series, one model of trees over all, reconciled and with honest intervals."""
