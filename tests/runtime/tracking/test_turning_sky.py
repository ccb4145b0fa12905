"""Check tracking through the shipped networks, over a sky that turns and drifts."""

import numpy as np
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.runtime.inference.classifier import Classifier
from galaxy_edge.runtime.inference.detector import Detector
from galaxy_edge.runtime.pipeline.stages import FrameProcessor, ViewOptions
from galaxy_edge.runtime.pipeline.tasks import FrameTask
from galaxy_edge.runtime.sources.open_source import open_source
from galaxy_edge.runtime.tracking.tracker import Tracker
from helpers.moving_sky import MovingSky


def test_turning_drifting_sky_gives_one_event_per_galaxy(tmp_path):
    """Real sky, the shipped detector, a video by ffmpeg.

    No position on the sky becomes two events.
    """
    sky = MovingSky(tmp_path / "sky.avi", 16, drift=(3, 2), turn=0.3, start=(120, 150))
    processor = FrameProcessor(
        Detector(Bundle.load(shipped_bundle_path("galaxy-detector"))),
        Classifier(Bundle.load(shipped_bundle_path("galaxy-classifier"))),
        continuous=True,
        views=ViewOptions(tiles="3x2"),
    )
    events, tracker = {}, Tracker(continuous=True)
    for video_frame in open_source(str(sky.path), print):
        task = FrameTask(video_frame)
        for stage in processor.stages:
            stage.process(task)
        events |= {
            track.number: track for track in tracker.update(video_frame, task.detections, task.sky) if track.confirmed
        }
    tracker.finish()
    assert len(events) >= 5
    positions = [
        sky.place([(box[:2] + box[2:]) / 2], number)[0]
        for box, number in ((track.box, track.best_frame) for track in events.values())
    ]
    sizes = [np.sqrt(np.prod(track.box[2:] - track.box[:2])) for track in events.values()]
    distances = np.linalg.norm(np.array(positions)[:, None] - np.array(positions)[None], axis=2) / np.maximum.outer(
        sizes, sizes
    )
    assert (distances + np.eye(len(positions)) > 0.5).all()
    assert {track.kind for track in events.values()} == {"object"}
