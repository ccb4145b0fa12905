"""Reports of wrongly detected frames, without places and passwords.

What a report may hold is listed; everything else is left out. A keyword, tag or word that nobody thought of is
therefore never in it.
"""
