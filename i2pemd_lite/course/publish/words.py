"""The words of the course, and what they mean: where a lesson first uses one, a mouse that rests on it is told."""

import re

WORDS = {
    "voxel": "a small box of a scan, as a pixel is a small square of a picture",
    "modality": "a kind of scan: CT or MR",
    "feature": "a number that a network computes for a voxel or an image, and from which it decides",
    "prototype": "the mean of the features of a class",
    "logit": "what a network says of a class before softmax turns it into a probability",
    "label": "the right class, as somebody has marked it",
    "pseudo-label": "the class that a network itself gives to an image without a label",
    "cross-entropy": "minus the logarithm of the probability of the right class",
    "earth mover's distance": "the cost of the cheapest way to carry one pile to where another is wanted",
    "I2PEMD": "what it costs to carry a prediction to its label",
    "linear program": "a search for the smallest value of a sum, where all conditions are about sums, too",
    "gradient": "how much a loss changes with each of the numbers that it depends on",
    "batch": "the voxels or images that a network learns from in one step",
    "seed": "a number from which all random numbers of a run follow",
    "DOC": "how much two outlines of an organ overlap, in percent (Dice's coefficient)",
    "AUC": "how often an image of a class gets a higher score for it than an image of another class",
}
# What is left as it is: code, formulas, links, tags, headings and tables.
APART = re.compile(r"(```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$\n]+\$|\[[^\]]*\]\([^)]*\)|<[^>]*>|^[#|].*?$)", re.M | re.S)


def explained(texts):
    """Markdown texts, one after the other, in which each of `WORDS` says at its first place what it means.

    Example
    -------
    >>> explained(["# A batch", "A `seed` and two Batches.", "One batch."])[1]
    'A `seed` and two <abbr title="the voxels or images that a network learns from in one step">Batch</abbr>es.'
    """
    texts = [APART.split(text) for text in texts]
    for word, meaning in WORDS.items():
        spelled, case = r"\s+".join(word.split()), re.I if word.islower() else 0
        found = re.compile(rf"(?<![\w-]){spelled}(?=(?:s|es)?(?![\w-]))", case)
        places = ((parts, n) for parts in texts for n in range(0, len(parts), 2) if found.search(parts[n]))
        if any(f'title="{meaning}"' in part for parts in texts for part in parts):
            continue  # it does already
        for parts, n in places:
            before, at, after = re.split(f"({found.pattern})", parts[n], maxsplit=1, flags=case)
            parts[n : n + 1] = before, f'<abbr title="{meaning}">{at}</abbr>', after
            break
    return ["".join(parts) for parts in texts]
