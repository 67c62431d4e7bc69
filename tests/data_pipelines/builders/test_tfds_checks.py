"""The checks that tfds has for any builder, `tfds.testing.DatasetBuilderTestCase`.

They are written on TensorFlow's test case, and the module needs dill too, so they run where both
are installed and are skipped elsewhere: ``pip install tensorflow-cpu dill``. Since ``as_dataset``
cannot read array_record, the builders write tfrecord here. What does not need TensorFlow
(registration, tags, counts, reloading, equal records) is in ``test_builders.py``.
"""

import tempfile
from pathlib import Path

import pytest
from layouts import jamendo, slakh

pytest.importorskip("tensorflow")
pytest.importorskip("dill")

import tensorflow_datasets as tfds

from data_pipelines.builders import MiniSlakh, MtgJamendo, Slakh2100


class _Checks(tfds.testing.DatasetBuilderTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls._folder = tempfile.TemporaryDirectory()
        cls.EXAMPLE_DIR = str(cls._source(Path(cls._folder.name)))

    @classmethod
    def tearDownClass(cls):
        cls._folder.cleanup()
        super().tearDownClass()

    def _make_builder(self, config=None):
        return self.dataset_class(data_dir=self.tmp_dir, config=config, file_format="tfrecord")


class _SlakhChecks(_Checks):
    DATASET_CLASS = Slakh2100
    SPLITS = {"train": 3, "validation": 1, "test": 2}  # noqa: RUF012

    @classmethod
    def _source(cls, folder):
        slakh.redux(folder / "redux")
        return folder / "redux"


class TestRedux(_SlakhChecks):
    BUILDER_CONFIG_NAMES_TO_TEST = ("folders", "redux", "redux_44k")


class TestOriginal(_SlakhChecks):
    BUILDER_CONFIG_NAMES_TO_TEST = ("original",)
    SPLITS = {"train": 3, "validation": 1, "test": 3}  # noqa: RUF012


class TestSplit2(_SlakhChecks):
    BUILDER_CONFIG_NAMES_TO_TEST = ("split2",)
    SPLITS = {"train": 3, "validation": 1, "test": 3}  # noqa: RUF012


class TestMiniSlakh(_SlakhChecks):
    DATASET_CLASS = MiniSlakh


class _JamendoChecks(_Checks):
    DATASET_CLASS = MtgJamendo

    @classmethod
    def _source(cls, folder):
        archives, tables = jamendo.dataset(folder)
        for table in tables.iterdir():
            table.rename(archives / table.name)
        return archives


class TestPaper(_JamendoChecks):
    BUILDER_CONFIG_NAMES_TO_TEST = ("paper", "paper_44k")
    SPLITS = {"train": 6, "validation": 2}  # noqa: RUF012


class TestSplit0(_JamendoChecks):
    BUILDER_CONFIG_NAMES_TO_TEST = ("split-0",)
    SPLITS = {"train": 6, "validation": 1, "test": 1}  # noqa: RUF012


# They are the frame of the others, not checks themselves.
del _Checks, _SlakhChecks, _JamendoChecks
