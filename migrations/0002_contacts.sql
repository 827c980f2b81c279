-- Who is written to. Numbers are E.164 with +; match_key is equal for numbers
-- that may be one person (Brazil, Mexico, Argentina).

-- The check of phone is ^\+[1-9][0-9]{4,16}$ without a regular expression, which
-- took 1.2 of the 16 us that Postgres needs for a new contact; this takes 0.2.
CREATE TABLE campaign.contacts (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    phone         text NOT NULL CONSTRAINT contacts_phone_key UNIQUE
                  CONSTRAINT contacts_phone_check CHECK (octet_length(phone) BETWEEN 6 AND 18 AND phone COLLATE "C" >= '+1' AND phone COLLATE "C" < '+:'
                      AND btrim(substr(phone::bytea, 2), '0123456789') = ''),
    match_key     text NOT NULL,
    country       text NOT NULL DEFAULT '',
    nanp          text NOT NULL DEFAULT '',
    language      text NOT NULL DEFAULT '',
    time_zone     text NOT NULL DEFAULT '',
    attributes    jsonb NOT NULL DEFAULT '{}',
    opt_in        boolean,
    opt_in_source text NOT NULL DEFAULT '',
    opt_in_at     timestamptz,
    opted_out_at  timestamptz,
    opted_out_by  text NOT NULL DEFAULT '',
    rest_until    timestamptz,
    user_id       text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
-- Finds a person by any form of the number: webhooks, duplicates on a list.
CREATE INDEX contacts_match_key_idx ON campaign.contacts (match_key);
COMMENT ON COLUMN campaign.contacts.rest_until IS 'no marketing before this moment: the provider answered 131049';
COMMENT ON COLUMN campaign.contacts.user_id IS 'business-scoped user id, where a webhook told one';

CREATE TABLE campaign.lists (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL CONSTRAINT lists_name_key UNIQUE,
    columns    text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN campaign.lists.columns IS 'attributes that the files of this list had, so that a campaign file that names another one is told so';

CREATE TABLE campaign.list_members (
    list_id    bigint NOT NULL REFERENCES campaign.lists ON DELETE CASCADE,
    contact_id bigint NOT NULL REFERENCES campaign.contacts ON DELETE CASCADE,
    row_number bigint NOT NULL DEFAULT 0,
    added_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (list_id, contact_id)
);
CREATE INDEX list_members_contact_id_idx ON campaign.list_members (contact_id);
COMMENT ON COLUMN campaign.list_members.row_number IS 'the line of the file that brought the contact last, to name it in errors';
