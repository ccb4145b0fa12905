"""Read and write label formats: one module per format, one common type.

That type is `annotation.ImageAnnotation`.

Properties that a format cannot hold are stored where other programs ignore them (an attribute, an unknown key, an
additional file), and are used only for boxes whose values in the format have not changed since: edits by other
programs take precedence.
"""
