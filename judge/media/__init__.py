"""Loading images and videos, and geometry of regions.

Everything a caller may pass as an image or video is treated as hostile: sizes are checked before anything is
decoded, nothing is fetched, and every problem becomes one `MediaError`.

- `image`: loads an image, resizes it for a model, and crops details
- `video`: loads a video and samples its frames
- `decoding`: opens video files and decodes frames
- `file_names`: which files are images or videos, and which are hidden
- `sources`: opens files and decodes `data:` URLs, with limits on their size
- `tensors`: loads images that trainers hold as tensors
- `differentiable_resize`: resizes as Pillow does, with a gradient; needs torch
- `regions`: boxes, polygons and masks

It imports `judge.errors` and `judge.types`.
"""
