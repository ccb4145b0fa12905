"""Reports of frames that were detected or named wrongly, without places and passwords.

What a report may hold is listed; everything else is left out. A keyword, tag or word that nobody thought of is
therefore never in it.
"""
