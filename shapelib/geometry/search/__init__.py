"""The two compiled searches of `shapelib.geometry.neighbors`: row by row, and each pair once."""
