"""Pages about the classification study.

Pictures of what its networks see, and the comparison with the report.
"""
