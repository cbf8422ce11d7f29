"""What leaves the book: the PDF, and what archives read of the software."""
