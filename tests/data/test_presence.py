import numpy as np

from gmsdi_jax.data import label_sets, presence


def test_presence_is_the_rms_over_the_window():
    rms = 0.1
    levels = np.array([[rms**2, 0, 0, 0], [4 * rms**2, 0, 0, 0], [0, 0, 0, 0]], np.float32)
    # Over four frames the first has rms 0.05, the second 0.1.
    assert presence(levels, 0.099).tolist() == [False, True, False]
    assert presence(levels, 0.049).tolist() == [True, True, False]
    assert presence(levels[:, :1], 0.099).tolist() == [True, True, False]


def test_label_sets_counts_whole_windows_only():
    levels = np.zeros((2, 7), np.float32)
    levels[0, :4] = 1
    levels[1, 2:4] = 1
    levels[1, 6] = 1  # in the incomplete last window
    counts = label_sets([levels, levels[:, 2:4]], ("Bass", "Drums"), 2, 0.5)
    assert counts == {"Bass": 1, "Bass+Drums": 2, "none": 1}
    assert next(iter(counts)) == "Bass+Drums"
