"""The first page: its answers and their pictures."""
