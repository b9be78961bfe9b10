"""Numba kernels: plain loops over arrays in hardware units; they import nothing of this package."""
