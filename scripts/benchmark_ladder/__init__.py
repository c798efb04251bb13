"""Ladders of growing work: ours against the peers, one ladder a file (see `rung`)."""
