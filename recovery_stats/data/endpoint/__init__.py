"""Endpoints of addiction trials: patterns of visits, pieces that read them, published entries."""
