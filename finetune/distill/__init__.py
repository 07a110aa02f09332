"""Distillation: a teacher behind the seam labels pictures, a small vision network learns its answers.

After Efficient-FIQA (Sun et al. 2025): the teacher labels pictures that nobody has, is trained once more on
what people said and on its own labels, labels them again, and the student learns from all three.
"""
