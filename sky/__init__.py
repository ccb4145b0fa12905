"""Positions on the sky: plate solving, catalogues, simulated fields."""
