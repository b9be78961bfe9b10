"""Lifetimes: decay curves and their fits, of the whole, of levels, of each segment."""
