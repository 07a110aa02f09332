"""Distillation: a teacher labels images, and a small vision network learns its answers.

After Efficient-FIQA (Sun et al. 2025). The teacher labels images that have no labels. It is trained again on
people's scores and on its own labels, and labels the images again. The student learns from all three.

Modules:
    config: the configuration.
    preparation: reads the rubric and the data, and checks them.
    teacher_labels: the teacher's answer about each image, written line by line.
    teacher: creates the teacher, and tunes it on people's scores and its own.
    image_views: the images as the student sees them, memory-mapped.
    targets: the student's training targets as tensors.
    network: the student's network.
    training: trains the student, with the source of each loss.
    export: writes the student as ONNX and checks it.
    evaluation: measures teacher and student on held-out samples.
    run: a run from its configuration to a folder.

The room imports `finetune.lora` (configuration, targets, losses, run) and `finetune.nano` (schedule), `eval`
and `judge`.
"""
