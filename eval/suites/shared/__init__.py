"""Code that the benchmarks share. Nothing in here is a benchmark.

Types:
    `suite`: `Suite`, the interface that each benchmark fills in, and `Submission`.
    `samples`: `SuiteSample` with its `GroundTruth`, `JudgedSample`, and the score that a verdict predicts.

Reading data:
    `reading`: find label files, resolve the paths of images and videos, check ids and splits.
    `media_files`: search a folder for images and videos by the names in a label file.
    `name_matching`: why names do not match, and which change would make them.

Computing official numbers:
    `mos_benchmark`: build a suite with one human score (MOS) per image or video.
    `preference_benchmark`: build a suite of preferences between images of one prompt.
    `accumulators`: sums over images for elements, regions and boxes.
    `labelled_boxes`: numbers of boxes with a type and an importance.
    `scoring`: match predictions with labels by name; metrics that all suites report.

Writing submissions:
    `submission_files`: the files that challenges expect.

Imports from below: `eval.metrics`, `eval.suites.readers` and `judge`.
"""
