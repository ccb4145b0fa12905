"""Label formats in and out: one small file a format, and between them one type, `labelled.Labelled`.

What a format cannot hold itself is stored where its other readers ignore it (an attribute, an unknown key, a
file of our own), and is taken back only where the format's own numbers still say the same: who edits them wins.
"""
