"""The rules of `data/rules.py`, by what they look at: keys, values, times, groups."""
