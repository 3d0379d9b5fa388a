"""Questions that are answered before their result is drawn, and exercises that check themselves."""
