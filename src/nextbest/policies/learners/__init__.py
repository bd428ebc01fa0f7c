"""Learners: what the chance of a response per action is learnt by, from decisions and their outcomes."""
