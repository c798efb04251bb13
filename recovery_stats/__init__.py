"""Outcomes-research statistics for addiction-recovery studies."""
