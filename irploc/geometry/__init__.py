"""Rotations, poses, cameras and averaging: numpy only, no files."""
