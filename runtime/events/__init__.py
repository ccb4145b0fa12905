"""Events and the records of frames: types, database, queries."""
