BEGIN TRANSACTION;
CREATE TABLE event (
    run INTEGER NOT NULL REFERENCES run(id), number INTEGER NOT NULL,
    first_frame INTEGER NOT NULL, last_frame INTEGER NOT NULL, first_time TEXT NOT NULL, last_time TEXT NOT NULL,
    frames INTEGER NOT NULL, source TEXT NOT NULL, best_frame INTEGER NOT NULL,
    x0 REAL NOT NULL, y0 REAL NOT NULL, x1 REAL NOT NULL, y1 REAL NOT NULL, score REAL NOT NULL,
    class TEXT NOT NULL, probability REAL NOT NULL, probabilities TEXT NOT NULL, crop TEXT,
    state TEXT NOT NULL DEFAULT 'ended', kind TEXT NOT NULL DEFAULT 'object', sure INTEGER,
    PRIMARY KEY (run, number)
);
INSERT INTO "event" VALUES(1,1,0,0,'2026-11-22T21:00:00.000Z','2026-11-22T21:00:00.000Z',1,'sky',0,10.0,20.0,34.0,44.0,0.9,'spiral',0.8,'{"smooth": 0.2, "spiral": 0.8}','crops/0001/00001.png','ended','object',NULL);
INSERT INTO "event" VALUES(1,2,5,5,'2026-11-22T21:00:05.000Z','2026-11-22T21:00:05.000Z',1,'sky',5,10.0,20.0,34.0,44.0,0.9,'spiral',0.8,'{"smooth": 0.2, "spiral": 0.8}','crops/0001/00002.png','ended','object',NULL);
CREATE TABLE run (
    id INTEGER PRIMARY KEY, started TEXT NOT NULL, ended TEXT, source TEXT NOT NULL, version TEXT NOT NULL,
    engine TEXT NOT NULL, detector TEXT NOT NULL, classifier TEXT NOT NULL, frames INTEGER, bad_pictures INTEGER,
    uid TEXT NOT NULL DEFAULT '', device TEXT NOT NULL DEFAULT ''
, interrupted INTEGER NOT NULL DEFAULT 0);
INSERT INTO "run" VALUES(1,'x','2026-11-29T10:55:41.450Z','x','x','x','x','x',6,0,'260cd270','x',0);
CREATE INDEX event_class ON event(class);
CREATE UNIQUE INDEX run_uid ON run(uid);
CREATE INDEX event_time ON event(first_time);
CREATE INDEX event_crop ON event(crop);
CREATE VIEW told AS
    SELECT printf('%s-%05d', run.uid, event.number) AS id, event.*, run.uid, run.device, run.engine, run.detector,
        run.classifier, run.version, run.started
    FROM event JOIN run ON run.id = event.run;
COMMIT;
PRAGMA user_version = 3;
