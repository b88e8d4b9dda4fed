-- The record that the handlers of other queues keep in the benchmark: tasks, and their history.
CREATE TABLE task (
  number integer PRIMARY KEY, status text NOT NULL, started_at timestamptz, completed_at timestamptz);
CREATE INDEX ON task (status);
CREATE TABLE history (
  id bigserial PRIMARY KEY, number integer NOT NULL, at timestamptz NOT NULL, data jsonb NOT NULL);
CREATE INDEX ON history (number, id);
INSERT INTO task SELECT number, 'pending' FROM generate_series(0, 99999) number;

CREATE FUNCTION began(which integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
  UPDATE task SET status = 'running', started_at = now() WHERE number = which;
  INSERT INTO history (number, at, data) VALUES (which, now(), '{"status": "running"}');
END $$;

CREATE FUNCTION ended(which integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
  UPDATE task SET status = 'completed', completed_at = now() WHERE number = which;
  INSERT INTO history (number, at, data) VALUES (which, now(), '{"status": "completed"}');
END $$;
