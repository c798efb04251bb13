"""`python -m recovery_stats` and `recovery-stats`."""

from recovery_stats.cli import main

if __name__ == "__main__":
    main()
