"""Photon pairs: g2 in all its forms, time gates, cascades, triples, afterpulses, the number of emitters."""
