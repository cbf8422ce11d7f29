"""The book's pages: built, and what they say of themselves."""
