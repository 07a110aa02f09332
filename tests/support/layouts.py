"""Small data sets in the layouts of all benchmarks: labels and media, a few rows each.

Each function writes the data set of one suite into a folder and returns the ids of its samples, in order.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from file_formats import (
    encode_tfrecord,
    write_fake_video,
    write_image,
    write_json,
    write_lines,
    write_workbook,
)
from PIL import Image
from scipy.io import savemat


def thqa(folder: Path) -> list[str]:
    names = ["3_wavlip.mp4", "4_sadtalker.mp4", "5_audio2head.mp4", "6_x.mp4"]
    for name in names:
        write_fake_video(folder / "val" / name)
    scores = dict(zip(names, (3, 1.5, 0, 4), strict=True))
    write_lines(folder / "thqa_ntire_val.csv", "Video,Score", *(f"{n},{s}" for n, s in scores.items()))
    return names


def adth(folder: Path) -> list[str]:
    write_fake_video(folder / "a.mp4")
    write_lines(folder / "adth.csv", "Video,Score,Method", "a.mp4,2.5,x")
    return ["a.mp4"]


def qeval_video(folder: Path) -> list[str]:
    rows = [{"video": f"v{i}.mp4", "prompt": f"a fox {i}", "gt_score": 10.5 * i} for i in range(4)]
    for row in rows:
        write_fake_video(folder / "videos" / row["video"])
    write_json(folder / "val.json", rows)
    return [row["video"] for row in rows]


def qeval_image(folder: Path) -> list[str]:
    write_image(folder / "images" / "a.png")
    rows = [{"image": "a.png", "prompt": "a fox", "mos_quality": 61.5, "mos_align": 20}]
    write_json(folder / "test.json", rows)
    return ["a.png"]


def finevd(folder: Path) -> list[str]:
    write_fake_video(folder / "a.mp4")
    write_lines(folder / "val.csv", "video_name,mos,blur", "a.mp4,55.5,40")
    return ["a.mp4"]


def t2vqa_db(folder: Path) -> list[str]:
    for name in ("0001.mp4", "0002.mp4"):
        write_fake_video(folder / "videos" / name)
    write_lines(folder / "info.txt", "0001.mp4|a fox | and a hen|63.25", "0002.mp4|rain|6.5")
    return ["0001.mp4", "0002.mp4"]


def aigiqa_20k(folder: Path) -> list[str]:
    for name in ("DALLE2_0000.png", "SD15_0001.png"):
        write_image(folder / "train" / name)
    write_lines(
        folder / "info_train.csv",
        'DALLE2_0000.png,"a cat, red, and a ""dog""",3.66',
        "SD15_0001.png,rain,1.5",
    )
    return ["DALLE2_0000.png", "SD15_0001.png"]


def agiqa_1k(folder: Path) -> list[str]:
    write_image(folder / "file" / "deepai_0_0.png")
    write_lines(folder / "AIGC_all.csv", "Image,Prompt,MOS", "deepai_0_0.png,bird driving,2.25")
    return ["deepai_0_0.png"]


def agiqa_3k(folder: Path) -> list[str]:
    write_image(folder / "sd1.5_normal_000.jpg")
    header = "name,prompt,adj1,adj2,style,mos_quality,std_quality,mos_align,std_align"
    write_lines(folder / "data.csv", header, "sd1.5_normal_000.jpg,statue of a man,,,,0.96,0.22,0.4,0.61")
    return ["sd1.5_normal_000.jpg"]


def aigciqa2023(folder: Path) -> list[str]:
    for number in range(3):
        write_image(folder / "Image" / "allimg" / f"{number}.png")
    for part in (1, 2, 3):
        savemat(folder / f"mosz{part}.mat", {"MOSz": np.array([[10.0], [20.0], [30.0]]) + part})
    return ["0.png", "1.png", "2.png"]


def richhf_18k(folder: Path) -> list[str]:
    heat = np.zeros((512, 512), dtype=np.uint8)
    heat[100:200, 100:200] = 255
    data = io.BytesIO()
    Image.fromarray(heat).save(data, "PNG")
    scores = {f"{name}_score": 0.25 for name in ("aesthetics", "artifact", "misalignment", "overall")}
    record = {
        "filename": b"test/a.png",
        **scores,
        "artifact_map": data.getvalue(),
        "misalignment_map": data.getvalue(),
        "prompt_misalignment_label": b"1 0 1",
    }
    write_image(folder / "test" / "a.png", (512, 512))
    (folder / "test.tfrecord").write_bytes(encode_tfrecord(record))
    write_lines(folder / "prompts.csv", "filename,prompt", 'test/a.png,"a red, fox!"')
    return ["test/a.png"]


def sdg_30k(folder: Path) -> list[str]:
    for name in ("a.png", "b.png"):
        write_image(folder / "images" / name, (200, 100))
    box = {
        "box_2d": [10, 10, 60, 60],
        "label": "artifact",
        "description": "a bent arm",
        "importance": "critical",
    }
    rows = [
        {"filepath": "a.png", "caption": "a fox", "ann_translated_bboxes": [box]},
        {"filepath": "b.png", "caption": "a hen", "ann_translated_bboxes": []},
    ]
    write_lines(folder / "test.jsonl", *map(json.dumps, rows))
    return ["a.png", "b.png"]


def genai_bench(folder: Path) -> list[str]:
    models = {"DALLE_3": [5, 4, 5], "SDXL_Base": [2, 3, 2]}
    for model in models:
        write_image(folder / model / "00000.jpeg")
    write_json(folder / "genai_image.json", {"00000": {"prompt": "a fox", "models": models}})
    return ["DALLE_3/00000", "SDXL_Base/00000"]


def hpdv2(folder: Path) -> list[str]:
    names = ["00001.jpg", "00002.jpg", "00003.jpg"]
    for name in names:
        write_image(folder / "test" / name)
    row = {"prompt": "a fox", "image_path": names, "rank": [2, 1, 3], "raw_annotations": []}
    write_json(folder / "test.json", [row])
    return names


def hpdv3(folder: Path) -> list[str]:
    names = ["images/a.jpg", "images/b.jpg", "images/c.jpg"]
    for name in names:
        write_image(folder / name)
    rows = [
        {"prompt": "a fox", "choice_dist": [9, 1], "confidence": 0.9, "path1": a, "path2": b,
         "model1": "flux", "model2": "sdxl"} for a, b in ((names[0], names[1]), (names[0], names[2]))
    ]  # fmt: skip
    write_json(folder / "test.json", rows)
    return names


def imagereward(folder: Path) -> list[str]:
    names = [f"images/{i}.webp" for i in range(4)]
    for name in names:
        write_image(folder / name)
    write_json(
        folder / "test.json",
        [{"id": "7-1", "prompt": "a fox", "generations": names, "ranking": [1, 2, 2, 3]}],
    )
    return names


def pick_a_pic(folder: Path) -> list[str]:
    import pyarrow
    import pyarrow.parquet

    data = io.BytesIO()
    Image.new("RGB", (16, 16)).save(data, "JPEG")
    rows = [("u0", "u1", 1.0), ("u0", "u2", 0.5), ("u1", "u2", 0.0)]
    columns = {
        "jpg_0": [data.getvalue()] * 3,
        "jpg_1": [data.getvalue()] * 3,
        "image_0_uid": [r[0] for r in rows],
        "image_1_uid": [r[1] for r in rows],
        "caption": ["a fox"] * 3,
        "label_0": [r[2] for r in rows],
        "has_label": [True] * 3,
    }
    path = folder / "data" / "test_unique-00000-of-00001-abc.parquet"
    path.parent.mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return ["u0", "u1", "u2"]


def piq23(folder: Path) -> list[str]:
    names = [f"Overall/{i}_Indoor_Scene_{i % 2}.jpg" for i in range(6)]
    for name in names:
        write_image(folder / name)
    header = "IMAGE PATH,JOD,JOD STD,CI LOW,CI HIGH,SCENE,CONDITION"
    rows = [
        f"{n.replace('/', chr(92))},{i - 2.5},0.4,0,1,Indoor_Scene_{i % 2},Indoor"
        for i, n in enumerate(names)
    ]
    write_lines(folder / "Scores" / "Scores_Overall.csv", header, *rows)
    return names


def vquala_face(folder: Path) -> list[str]:
    for name in ("z1.png", "z2.png"):
        write_image(folder / name)
    write_lines(folder / "val.csv", "z1.png,0.81", "z2.png,0.25")
    return ["z1.png", "z2.png"]


def uhd_iqa(folder: Path) -> list[str]:
    for name in ("1.jpg", "2.jpg"):
        write_image(folder / "training" / name)
    rows = ['"1.jpg",0.76,"training",5515', '"2.jpg",0.5,"training",10', '"3.jpg",0.1,"test",10']
    write_lines(folder / "uhd-iqa-metadata.csv", '"image_name","quality_mos","set","orig_width"', *rows)
    return ["1.jpg", "2.jpg"]


def kvq(folder: Path) -> list[str]:
    names = [f"{i}.mp4" for i in range(4)]
    for name in names:
        write_fake_video(folder / "val" / name)
    write_lines(folder / "truth.csv", "filename,score", *(f"{n},{i}" for i, n in enumerate(names)))
    write_workbook(
        folder / "rank-pair-val.xlsx",
        {
            "nonsource": [["v1", "v2", "rank"], ["0.mp4", "1.mp4", 2]],
            "source": [["v1", "v2", "rank"], ["3.mp4", "2.mp4", 1]],
        },
    )
    return names


def live_itw(folder: Path) -> list[str]:
    names = [f"t{i}.bmp" for i in range(1, 8)] + ["3.bmp", "4.bmp"]
    cells = np.empty((len(names), 1), dtype=object)
    for row, name in enumerate(names):
        write_image(folder / "Images" / ("trainingImages" if name[0] == "t" else "") / name)
        cells[row, 0] = name
    (folder / "Data").mkdir()
    savemat(folder / "Data" / "AllImages_release.mat", {"AllImages_release": cells})
    values = np.arange(len(names), dtype=float)[None]
    savemat(folder / "Data" / "AllMOS_release.mat", {"AllMOS_release": values})
    savemat(folder / "Data" / "AllStdDev_release.mat", {"AllStdDev_release": values})
    return names[7:]


def video_sr(folder: Path) -> list[str]:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        write_fake_video(folder / name)
    votes = [("a", "b", "a"), ("b", "c", "b"), ("c", "a", "c"), ("a", "c", "a"), ("b", "a", "tie")]
    rows = [f"{x}.mp4,{y}.mp4,{w if w == 'tie' else w + '.mp4'},clip1" for x, y, w in votes]
    write_lines(folder / "pairs.csv", "first,second,winner,group", *rows)
    return ["a.mp4", "b.mp4", "c.mp4"]


def face_restoration(folder: Path) -> list[str]:
    names = ["CelebA/1.png", "LFW-Test/2.png"]
    for name in names:
        write_image(folder / name)
    return names


def evalmuse_alignment(folder: Path) -> list[str]:
    names = ["SDXL-Turbo/00805.png", "Dreamina/00001.png"]
    for name in names:
        write_image(folder / "images" / name)
    rows = [
        {
            "prompt_id": f"EvalMuse_{number}",
            "prompt": "giant pigs attack",
            "type": "real",
            "img_path": name,
            "total_score": [4 - number, 3],
            "element_score": {"pig giants (animal)": [1, 0, 1], "attack (activity)": [0, number]},
            "promt_meaningless": [0, 0],
            "split_confidence": [1, 1],
            "attribute_confidence": [1, 1],
            "fidelity_label": ["", ""],
        }
        for number, name in enumerate(names)
    ]
    write_json(folder / "train_list.json", rows)
    return names


def evalmuse_structure(folder: Path) -> list[str]:
    names = ["a2dc", "45cf"]
    for name in names:
        write_image(folder / "images" / f"{name}.jpg", (200, 100))
    square = {"bbox_type": 1, "bbox": [{"x": 20, "y": 10}, {"x": 120, "y": 60}]}
    shape = {"bbox_type": 2, "bbox": [[100, 20], [160, 20], [160, 90]]}
    line = {"bbox_type": 2, "bbox": [[1, 1], [5, 5]]}
    write_json(
        folder / "train_info.json",
        {
            names[0]: {"prompt_en": "a man", "mos": 3.0, "bbox_info": [[square], [], [shape, line]]},
            names[1]: {"prompt_en": "a dog", "mos": 4.5, "bbox_info": [[], [], []]},
        },
    )
    return names


def scenes(folder: Path) -> list[str]:
    write_image(folder / "images" / "000000.png")
    row = {
        "id": "000000",
        "image": "images/000000.png",
        "prompt": "a red circle",
        "labels": {
            "score": 2.5,
            "elements": [{"name": "red circle", "present": True, "kind": "object"}],
            "defects": [{"family": "artifact", "kind": "cut", "box": [2, 2, 20, 20]}],
        },
    }
    write_lines(folder / "rows.jsonl", json.dumps(row))
    return ["000000"]


def folder(folder: Path) -> list[str]:
    write_image(folder / "a.png")
    write_image(folder / "sub" / "b.jpg")
    write_lines(folder / "a.txt", "a red fox")
    return ["a.png", "sub/b.jpg"]


LAYOUTS: dict[str, Callable[[Path], list[str]]] = {
    writer.__name__.replace("_", "-"): writer
    for writer in (
        evalmuse_alignment, evalmuse_structure, qeval_image, qeval_video, finevd, thqa, adth, t2vqa_db,
        aigiqa_20k, agiqa_1k, agiqa_3k, aigciqa2023, richhf_18k, sdg_30k, genai_bench, hpdv2, hpdv3,
        imagereward, pick_a_pic, piq23, vquala_face, uhd_iqa, kvq, live_itw, video_sr, face_restoration,
        scenes, folder,
    )
}  # fmt: skip
"""Suite -> function that writes its data set into a folder and returns the expected ids, in order."""
