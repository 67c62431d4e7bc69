"""Event files, read back by TensorBoard itself."""

import io

import numpy as np
import pytest
import soundfile
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gmsdi_jax.errors import OutputError
from gmsdi_jax.train.observe.tensorboard import TensorBoard


def events(folder):
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "audio": 0, "images": 0})
    return found.Reload()


def test_numbers_sound_and_pictures_are_read_back(tmp_path, sample):
    writer = TensorBoard(tmp_path, None)
    writer.write(10, {"loss": 0.5, "score": float("nan"), "time/step": 1})
    writer.show(10, [sample()])
    writer.close()
    found = events(tmp_path)
    assert sorted(found.Tags()["scalars"]) == ["loss", "time/step"]
    assert [(e.step, e.value) for e in found.Scalars("loss")] == [(10, 0.5)]
    tag = next(tag for tag in found.Tags()["audio"] if "Bass" in tag)
    (heard,) = found.Audio(tag)
    audio, rate = soundfile.read(io.BytesIO(heard.encoded_audio_string))
    assert rate == sample().rate
    np.testing.assert_allclose(audio, sample().estimates[0], atol=2**-15)
    (seen,) = found.Images(next(tag for tag in found.Tags()["images"] if "Piano" in tag))
    picture = np.asarray(Image.open(io.BytesIO(seen.encoded_image_string)))
    assert picture.shape[:2] == (seen.height, seen.width) == (244, 32)


def test_lines_after_the_resumed_step_are_replaced(tmp_path):
    """What a killed run wrote beyond its checkpoint is shown once, as it was computed again."""
    first = TensorBoard(tmp_path, None)
    for step in (10, 20, 30):
        first.write(step, {"loss": float(step)})
    first.close()  # a kill would leave no less: every line is flushed
    second = TensorBoard(tmp_path, 20)
    second.write(30, {"loss": -1.0})
    second.close()
    found = events(tmp_path).Scalars("loss")
    assert [(e.step, e.value) for e in found] == [(10, 10.0), (20, 20.0), (30, -1.0)]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "tensorboard").write_text("")
    with pytest.raises(OutputError, match="leave --tensorboard out"):
        TensorBoard(tmp_path / "tensorboard", None)


def test_a_full_disk_ends_the_events_and_not_the_run(sample):
    """/dev/full takes nothing; what is said is said once."""
    said = []
    writer = TensorBoard.__new__(TensorBoard)
    writer._folder, writer._say = "/dev/full", said.append
    from tensorboardX.event_file_writer import RecordWriter
    from tensorboardX.proto import event_pb2

    class Full:
        def __init__(self):
            self.record = RecordWriter("/dev/full")

        def write_event(self, event):
            self.record.write(event.SerializeToString())

        def flush(self):
            self.record.flush()

        def close(self):
            self.record.close()

    writer._file, writer._events = Full(), event_pb2
    for step in range(3):
        writer.write(step, {"loss": 1.0})
        writer.show(step, [sample()])
    writer.close()
    assert len(said) == 1
    assert "No space left" in said[0]
