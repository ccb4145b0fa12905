"""Read and write label formats: one module a format, and one type between them, `annotation.ImageAnnotation`.

What a format cannot hold is stored where other programs ignore it (an attribute, an unknown key, a file of our own),
and is used only for boxes whose values in the format have not changed since: edits by other programs take precedence.
"""
