"""What only the book measures, and the numbers that others published."""
