"""The lessons as copies for students and teachers, as pages and as slides."""
