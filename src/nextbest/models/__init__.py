"""What fits and predicts: arrays and Arrow tables in, predictions and native model files out."""
