"""The figures that only pages draw."""
