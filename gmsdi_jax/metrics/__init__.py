"""How well stems were separated: pure functions from audio to numbers, and from numbers to a table.

`si_sdr` measures one estimate, `protocols` cuts whole tracks into windows and decides which of them
count, `summary` turns the windows of many songs into means, intervals and a scorecard.
"""
