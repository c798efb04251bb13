"""Arrays in, frozen fits out: numpy and scipy only; no names, no frames, no printing."""
