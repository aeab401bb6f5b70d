"""Localization on the place's own points: their map, and poses of photos in it."""
