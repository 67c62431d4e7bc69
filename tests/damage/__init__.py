"""A hundred and more ways in which inputs are damaged, and what each must lead to.

One module per place where inputs come from: `slakh`, `jamendo`, `folder`, `prepared`. Each has a
list ``CASES`` of `damage.case.Case`. They hold for whole commands, so what they say is seen by
people: ``tests/data_pipelines/test_damaged_inputs.py``.
"""

import pytest

pytest.register_assert_rewrite("damage.bench")
