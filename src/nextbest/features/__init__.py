"""What is known of a subject as of a moment: the language of expressions, that of features, and what runs them."""
