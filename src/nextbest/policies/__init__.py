"""What gives actions probabilities, and the engine that decides with them inside consent and limits."""
