"""Pages about the classification study: pictures of what its networks see, and the comparison with the report."""
