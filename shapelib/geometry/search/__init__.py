"""How `shapelib.geometry.neighbors` searches: compiled loops by rows and by pairs, and subsets."""
