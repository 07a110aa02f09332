"""The detector of `judge.evidence.drawings`: whether an image is a plain drawing, or anything else.

- `drawings`: simple drawings as other programs make them (Pillow, matplotlib, SVG)
- `other_images`: charts, pages of text, icons, and photographs and generated images with random changes
- `samples`: both kinds as arrays
- `detector`: the perceptron, its threshold, and its file

It needs `resvg-py` and `matplotlib` (extras `reward` and `train`).
"""
