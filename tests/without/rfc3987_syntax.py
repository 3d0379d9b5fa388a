"""In the place of a module that compiles a grammar for three seconds wherever Jupyter is imported, for no use here."""

raise ImportError("jsonschema does without it")
