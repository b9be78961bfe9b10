"""The main job: all analyses of one recording, and results.json."""
