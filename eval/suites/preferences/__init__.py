"""Benchmarks of preferences: which of several images of one prompt people prefer.

    `hpdv2`: HPDv2, ranked lists.
    `hpdv3`: HPDv3, pairs of generated and real images.
    `imagereward`: ImageReward, ranked lists of 4 to 9 images.
    `pick_a_pic`: Pick-a-Pic, choices of users between two images.

Imports from below: `eval.suites.shared`, `eval.suites.readers` and `judge`.
"""
