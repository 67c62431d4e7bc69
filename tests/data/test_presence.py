import numpy as np

from gmsdi_jax.data import label_sets, presence


def test_presence_is_the_rms_over_the_window():
    rms = 0.1
    levels = np.array([[rms**2, 0, 0, 0], [4 * rms**2, 0, 0, 0], [0, 0, 0, 0]], np.float32)
    # Over four frames the first has rms 0.05, the second 0.1.
    assert presence(levels, 0.099).tolist() == [False, True, False]
    assert presence(levels, 0.049).tolist() == [True, True, False]
    assert presence(levels[:, :1], 0.099).tolist() == [True, True, False]


def test_label_sets_are_counted_over_tracks_commonest_first():
    first = np.array([[1, 0], [1, 1], [0, 0]], bool)
    counts = label_sets([first, np.ones((1, 2), bool)], ("Bass", "Drums"))
    assert counts == {"Bass": 1, "Bass+Drums": 2, "none": 1}
    assert next(iter(counts)) == "Bass+Drums"


def test_of_many_label_sets_the_rest_is_one_number():
    windows = (np.arange(512)[:, None] >> np.arange(9)) & 1 == 1
    windows = np.concatenate([windows, np.ones((3, 9), bool)])
    counts = label_sets([windows], tuple("abcdefghi"), most=5)
    assert next(iter(counts)) == "a+b+c+d+e+f+g+h+i"
    assert len(counts) == 6
    assert counts["..."] == 515 - 4 - 4
