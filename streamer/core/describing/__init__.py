"""What producers read about topics, as documents for programs: JSON Schema and AsyncAPI."""
