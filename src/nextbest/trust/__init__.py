"""Trust: explanations and evidence."""
