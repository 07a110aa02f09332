"""Benchmarks of video. All but `video_sr` and `kvq` have one human score (MOS) per video and nothing else.

    `qeval_video`, `t2vqa_db`: AI-generated video.
    `thqa`, `adth`: talking heads.
    `finevd`: user-generated video.
    `kvq`: short user-generated video, with ranked pairs.
    `video_sr`: video super-resolution, a ranking from votes on pairs.

Imports from below: `eval.suites.shared`, `eval.suites.readers`, `eval.metrics` and `judge`.
"""
