"""How `shapelib.geometry.neighbors` searches: the compiled loops, by rows and by pairs, and subsets."""
