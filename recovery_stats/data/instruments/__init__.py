"""Questionnaires: their scoring keys (`keys`, one TOML a scale) and the one scorer of them all."""
