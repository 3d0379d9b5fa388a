"""What a learner has done, the file to hand in, and a class as a whole."""
