"""Commands that are killed, starved of disk and crowded, and what is left of their work."""
