"""MeNet: the relative pose of two photos that are seen together, by one small network, trained on correlated pairs.

Source: Izzo and Bozzo, "A Deep Learning Approach to Camera Pose Estimation" (the report), part IV-A, after Ruan, Wang and
Huang, CCC 2019.
"""
