"""The papers' figures and tables with the papers' own models: planned, measured, shown."""
