-- A chunk of a contact file, one row per number.
CREATE TEMPORARY TABLE import_rows (
    row_number    bigint NOT NULL,
    phone         text NOT NULL,
    match_key     text NOT NULL,
    country       text NOT NULL,
    nanp          text NOT NULL,
    language      text NOT NULL,
    time_zone     text NOT NULL,
    attributes    jsonb NOT NULL,
    opt_in        boolean,
    opt_in_source text NOT NULL,
    opt_in_at     timestamptz
) ON COMMIT DROP
