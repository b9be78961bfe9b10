"""Intensity against time: counts in bins, and parts of a recording chosen by their light."""
