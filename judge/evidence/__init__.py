"""Measured facts about an image or a video: numbers from 0 to 1 that no model is needed for.

Facts are shown to the model as evidence and kept in the verdict.

- `facts`: all facts of a single image, and the estimators of distortions
- `measures`: the measures that facts are computed from
- `image_view`: an image with the intermediate results that several measures share
- `planes`: operations on two-dimensional arrays
- `salient_area`: the area whose detail or colour differs most from what surrounds it
- `motion`: facts of a video
- `reference`: facts of an image compared with its reference
- `similarity`: how similar an image is to those of a calibration

It imports nothing of the package but types of `judge.media`.
"""
