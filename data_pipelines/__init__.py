"""Offline preparation of the data sets; training and evaluation never import from here."""
