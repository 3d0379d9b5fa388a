"""Runs of any task: settings, an iterator over steps, its folder, and who watches or steers it."""
