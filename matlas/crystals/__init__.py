"""Crystals: how they are read, checked, described and held in arrays."""
