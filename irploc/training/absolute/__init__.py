"""PoseNet and MapNet: a frozen or trained feature of a photo, and a small head that regresses its pose.

Source: Izzo and Bozzo, "A Deep Learning Approach to Camera Pose Estimation" (the report), parts IV-B and IV-C; MapNet is
Brahmbhatt et al., CVPR 2018.
"""
