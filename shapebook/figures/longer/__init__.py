"""What a longer run of training shows: its figures, and sentences computed from its tables."""
