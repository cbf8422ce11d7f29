"""What is claimed, the rules it is judged by, and the verdicts."""
