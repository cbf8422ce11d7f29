"""Numbers in sentences, held against the data that they were read out of."""
