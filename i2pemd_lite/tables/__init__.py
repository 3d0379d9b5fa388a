"""Tables 1 to 6: what is measured, beside what the paper prints, and whether the differences count."""
