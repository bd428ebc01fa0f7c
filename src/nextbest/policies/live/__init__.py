"""Decide now: one request or many, in milliseconds, by the same gates, draws and log as a list."""
