"""From a video or photos to a scene: frames, structure from motion, and the frame and scale of the building."""
