"""What all panels are made of: controls, a picture, numbers and words."""
