"""Watching what has learnt: drift of what models see and say, and when to refit."""
