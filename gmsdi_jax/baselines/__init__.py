"""What a separator must beat, and what it cannot beat: the reference rows of the scorecard.

`trivial` holds the rows that need no model, `static` a fixed filter that learned four average
spectra from mixtures.
"""
