"""Frozen values that every layer speaks: codebook, dataset, study, estimate, result, document."""
