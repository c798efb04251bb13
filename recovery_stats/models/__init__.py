"""Frames to arrays and back: names, labels, rows; one thin module per engine family."""
