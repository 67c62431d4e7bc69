"""MiniSlakh: a synthetic stand-in for Slakh2100, composed and rendered here, in its layout.

    compose  (seed -> notes)      ->  midi  (notes -> files)  ->  render  (files -> sound)
    track    (one Slakh folder)   ->  build (the whole data set, in parallel, resumable)

`gmsdi data minislakh OUT --tracks 200 --seed 0` makes one.
"""
