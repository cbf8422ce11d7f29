"""A reader's own table as a page."""
