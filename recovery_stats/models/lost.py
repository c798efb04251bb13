"""Survival where those lost to follow-up are given another hazard; see engines.lost."""

from recovery_stats.engines.lost import free_after_loss

__all__ = ["free_after_loss"]
