"""Answer a reference case: read it, fit it with recovery_stats, name the numbers as R names them.

A case is `NAME.json` (model, factors, values) beside `NAME.csv`. The values are never read here.
"""
