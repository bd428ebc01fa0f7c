"""Allocation: who gets what when money and places are short, by prices (Lagrange multipliers) with a proven bound."""
