-- Who must be left alone, and what people tell us.

-- The key of every hash of a person. It is random and of this database only: a
-- hash of a number without it is found by trying all numbers.
INSERT INTO campaign.settings (key, value)
VALUES ('person_key', replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''));

ALTER TABLE campaign.contacts ADD COLUMN consent_at timestamptz;
COMMENT ON COLUMN campaign.contacts.consent_at IS 'when the person last said yes or no to marketing: an older word that comes later changes nothing';
CREATE INDEX contacts_user_id_idx ON campaign.contacts (user_id) WHERE user_id IS NOT NULL;

-- Campaigns under way were planned when nobody had to agree first: they end as
-- they were launched. A draft is planned anew.
UPDATE campaign.campaigns SET spec = spec || '{"opt_in": "assumed"}' WHERE state IN ('scheduled', 'running');

-- People are kept by a keyed hash, so that somebody who was forgotten stays on
-- the list without being named.
CREATE TABLE campaign.suppressions (
    hash       bytea NOT NULL,
    scope      text NOT NULL DEFAULT 'all' CONSTRAINT suppressions_scope_check CHECK (scope IN ('all', 'marketing')),
    phone      text,
    reason     text NOT NULL DEFAULT '',
    forgotten  boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT suppressions_pkey PRIMARY KEY (hash, scope),
    CONSTRAINT suppressions_forgotten_check CHECK (NOT forgotten OR phone IS NULL)
);
CREATE INDEX suppressions_forgotten_idx ON campaign.suppressions (hash) WHERE forgotten;
CREATE INDEX suppressions_phone_idx ON campaign.suppressions (phone) WHERE phone IS NOT NULL;
COMMENT ON TABLE campaign.suppressions IS 'who gets nothing, whatever the template. scope marketing: the opt-out of somebody whom we know by a business-scoped user id only';
COMMENT ON COLUMN campaign.suppressions.hash IS 'HMAC-SHA256, by settings.person_key, of contacts.match_key or of contacts.user_id';
COMMENT ON COLUMN campaign.suppressions.phone IS 'null of somebody who was forgotten, and of a user id';

CREATE TABLE campaign.suppressed_countries (
    country    text NOT NULL CONSTRAINT suppressed_countries_pkey PRIMARY KEY
               CONSTRAINT suppressed_countries_country_check CHECK (country ~ '^[A-Z]{2}$'),
    reason     text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE campaign.suppressed_countries IS 'ISO 3166-1 codes, as in contacts.country';

-- Words that this installation added to the built-in ones, or took from them.
CREATE TABLE campaign.keywords (
    word       text NOT NULL CONSTRAINT keywords_pkey PRIMARY KEY CONSTRAINT keywords_word_check CHECK (word <> ''),
    meaning    text NOT NULL CONSTRAINT keywords_meaning_check CHECK (meaning IN ('stop', 'start', 'none')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN campaign.keywords.word IS 'without case, accents, punctuation and repeated spaces';

-- The customer service window of a channel and a person is open for 24 hours
-- from the last message of theirs.
CREATE TABLE campaign.service_windows (
    match_key  text NOT NULL,
    channel_id bigint NOT NULL,
    opened_at  timestamptz NOT NULL,
    last_at    timestamptz NOT NULL,
    CONSTRAINT service_windows_pkey PRIMARY KEY (match_key, channel_id)
);
COMMENT ON COLUMN campaign.service_windows.match_key IS 'of the person: whichever form of the number wrote to us';

ALTER TABLE campaign.replies ADD COLUMN payload text NOT NULL DEFAULT '';
COMMENT ON COLUMN campaign.replies.payload IS 'of a pressed button: a text of our template, never of the person';
CREATE INDEX replies_contact_id_idx ON campaign.replies (contact_id) WHERE contact_id > 0;

-- A message to nobody we keep: found by its number where it has to be erased.
CREATE INDEX messages_phone_idx ON campaign.messages (phone) WHERE contact_id = 0 AND phone <> '';
