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
INSERT INTO "event" VALUES(1,4,11,23,'2026-11-28T16:45:38.837Z','2026-11-28T16:45:38.950Z',8,'demo',23,33.76,440.33,127.26,480.0,0.6692,'spiral_medium',0.6226,'{"disk_no_spiral": 0.0012, "smooth_round": 0.0001, "smooth_in_between": 0.0001, "smooth_cigar": 0.0, "edge_on_rounded_bulge": 0.0, "edge_on_no_bulge": 0.0, "spiral_tight": 0.3041, "spiral_medium": 0.6226, "spiral_loose": 0.0719}','crops/0001/00004.png','ended','object',0);
INSERT INTO "event" VALUES(1,8,29,49,'2026-11-28T16:45:38.984Z','2026-11-28T16:45:39.119Z',14,'demo',29,398.12,27.4,448.11,98.12,0.7873,'spiral_loose',0.6941,'{"disk_no_spiral": 0.0018, "smooth_round": 0.0005, "smooth_in_between": 0.0018, "smooth_cigar": 0.0001, "edge_on_rounded_bulge": 0.0001, "edge_on_no_bulge": 0.0, "spiral_tight": 0.0463, "spiral_medium": 0.2553, "spiral_loose": 0.6941}','crops/0001/00008.png','ended','object',0);
INSERT INTO "event" VALUES(1,9,29,50,'2026-11-28T16:45:38.984Z','2026-11-28T16:45:39.125Z',18,'demo',42,273.4,123.21,359.89,193.9,0.7323,'spiral_medium',0.586,'{"disk_no_spiral": 0.0028, "smooth_round": 0.0009, "smooth_in_between": 0.0017, "smooth_cigar": 0.0001, "edge_on_rounded_bulge": 0.0, "edge_on_no_bulge": 0.0, "spiral_tight": 0.2449, "spiral_medium": 0.586, "spiral_loose": 0.1636}','crops/0001/00009.png','ended','object',0);
INSERT INTO "event" VALUES(1,11,43,46,'2026-11-28T16:45:39.076Z','2026-11-28T16:45:39.098Z',3,'demo',43,563.7,207.5,599.85,258.06,0.5502,'smooth_cigar',0.4408,'{"disk_no_spiral": 0.0034, "smooth_round": 0.0004, "smooth_in_between": 0.0084, "smooth_cigar": 0.4408, "edge_on_rounded_bulge": 0.3654, "edge_on_no_bulge": 0.1636, "spiral_tight": 0.0038, "spiral_medium": 0.0047, "spiral_loose": 0.0095}','crops/0001/00011.png','ended','object',0);
INSERT INTO "event" VALUES(1,10,42,54,'2026-11-28T16:45:39.069Z','2026-11-28T16:45:39.151Z',5,'demo',54,11.99,14.73,44.32,58.44,0.5502,'smooth_cigar',0.6576,'{"disk_no_spiral": 0.0009, "smooth_round": 0.0003, "smooth_in_between": 0.014, "smooth_cigar": 0.6576, "edge_on_rounded_bulge": 0.2202, "edge_on_no_bulge": 0.0993, "spiral_tight": 0.0015, "spiral_medium": 0.0023, "spiral_loose": 0.0038}','crops/0001/00010.png','ended','object',0);
INSERT INTO "event" VALUES(1,13,54,56,'2026-11-28T16:45:39.151Z','2026-11-28T16:45:39.163Z',3,'demo',55,153.51,340.32,198.73,360.31,0.5993,'edge_on_no_bulge',0.475,'{"disk_no_spiral": 0.0004, "smooth_round": 0.0, "smooth_in_between": 0.0006, "smooth_cigar": 0.1845, "edge_on_rounded_bulge": 0.3371, "edge_on_no_bulge": 0.475, "spiral_tight": 0.0006, "spiral_medium": 0.0005, "spiral_loose": 0.0014}','crops/0001/00013.png','ended','object',0);
INSERT INTO "event" VALUES(1,18,59,76,'2026-11-28T16:45:39.182Z','2026-11-28T16:45:39.320Z',13,'demo',69,401.95,156.86,483.7,187.08,0.7421,'smooth_cigar',0.6722,'{"disk_no_spiral": 0.0009, "smooth_round": 0.0001, "smooth_in_between": 0.0111, "smooth_cigar": 0.6722, "edge_on_rounded_bulge": 0.2474, "edge_on_no_bulge": 0.0655, "spiral_tight": 0.0011, "spiral_medium": 0.0007, "spiral_loose": 0.0011}','crops/0001/00018.png','ended','object',0);
INSERT INTO "event" VALUES(1,17,59,68,'2026-11-28T16:45:39.182Z','2026-11-28T16:45:39.258Z',9,'demo',66,100.84,143.0,208.95,241.87,0.6911,'smooth_round',0.8997,'{"disk_no_spiral": 0.0048, "smooth_round": 0.8997, "smooth_in_between": 0.0944, "smooth_cigar": 0.0, "edge_on_rounded_bulge": 0.0, "edge_on_no_bulge": 0.0, "spiral_tight": 0.0002, "spiral_medium": 0.0004, "spiral_loose": 0.0004}','crops/0001/00017.png','ended','object',1);
INSERT INTO "event" VALUES(1,19,60,73,'2026-11-28T16:45:39.189Z','2026-11-28T16:45:39.302Z',12,'demo',64,378.68,258.54,478.66,331.66,0.7224,'smooth_cigar',0.2369,'{"disk_no_spiral": 0.0271, "smooth_round": 0.0097, "smooth_in_between": 0.2002, "smooth_cigar": 0.2369, "edge_on_rounded_bulge": 0.1275, "edge_on_no_bulge": 0.0113, "spiral_tight": 0.1081, "spiral_medium": 0.1339, "spiral_loose": 0.1452}','crops/0001/00019.png','ended','object',0);
INSERT INTO "event" VALUES(1,23,91,101,'2026-11-28T16:45:39.421Z','2026-11-28T16:45:39.493Z',11,'demo',94,178.37,245.39,292.71,382.12,0.7421,'smooth_in_between',0.603,'{"disk_no_spiral": 0.0037, "smooth_round": 0.3812, "smooth_in_between": 0.603, "smooth_cigar": 0.0003, "edge_on_rounded_bulge": 0.0001, "edge_on_no_bulge": 0.0, "spiral_tight": 0.0021, "spiral_medium": 0.0046, "spiral_loose": 0.0049}','crops/0001/00023.png','ended','object',0);
CREATE TABLE run (
    id INTEGER PRIMARY KEY, started TEXT NOT NULL, ended TEXT, source TEXT NOT NULL, version TEXT NOT NULL,
    engine TEXT NOT NULL, detector TEXT NOT NULL, classifier TEXT NOT NULL, frames INTEGER, bad_pictures INTEGER,
    uid TEXT NOT NULL DEFAULT '', device TEXT NOT NULL DEFAULT ''
, interrupted INTEGER NOT NULL DEFAULT 0);
INSERT INTO "run" VALUES(1,'2026-11-28T16:45:38.672Z','2026-11-28T16:45:39.669Z','demo','0.1.0','litert','8e22830591067ea5478d28870df3a991d3de1c92c92a1ab37605c86f74c07556','48e3791c90356029d71409619f7062c372173f9cc99bf9d100c20019aee1c548',112,0,'251e12f0','x86_64',0);
CREATE INDEX event_class ON event(class);
CREATE UNIQUE INDEX run_uid ON run(uid);
CREATE INDEX event_time ON event(first_time);
CREATE INDEX event_crop ON event(crop);
CREATE VIEW told AS
    SELECT printf('%s-%05d', run.uid, event.number) AS id, event.*, run.uid, run.device, run.engine, run.detector,
        run.classifier, run.version, run.started
    FROM event JOIN run ON run.id = event.run;
COMMIT;
PRAGMA user_version=3;
