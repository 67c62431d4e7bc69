"""``gmsdi data ...``: fetch data sets, prepare them for training, look at what was prepared."""
