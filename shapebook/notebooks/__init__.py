"""Notebooks: read and checked, run, shown, as one HTML file."""
