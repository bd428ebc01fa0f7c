"""One small file per business question, answered with the parts of the house."""
