"""What is known of models and machines, as data: every value with its source."""
