-- When a person may be sent something, and how much: windows in the recipient's
-- own time zone, and frequency caps over all campaigns.

-- Where people may be. A number has one zone or all those of its country, so few
-- sets serve any number of people, and a message holds two bytes: nothing is
-- computed from its number when it is claimed. A set never changes.
CREATE TABLE campaign.zone_sets (
    id      smallint GENERATED ALWAYS AS IDENTITY CONSTRAINT zone_sets_pkey PRIMARY KEY,
    country text NOT NULL,
    zones   text[] NOT NULL,
    CONSTRAINT zone_sets_key UNIQUE (country, zones)
);
COMMENT ON TABLE campaign.zone_sets IS 'the time zones in which a recipient may be: a window must be open in all of them';
COMMENT ON COLUMN campaign.zone_sets.country IS 'of the number, where the campaign''s window is the preset of a country; else empty';
COMMENT ON COLUMN campaign.zone_sets.zones IS 'IANA names, sorted; empty where none is known: then no window ever opens';

ALTER TABLE campaign.messages ADD COLUMN zone_set smallint NOT NULL DEFAULT 0;
COMMENT ON COLUMN campaign.messages.zone_set IS 'of campaign.zone_sets, where the campaign has a window; 0: it may be sent at any hour';

-- The installation's own cap, over all campaigns: one row, or none.
CREATE TABLE campaign.frequency_caps (
    scope      text NOT NULL DEFAULT 'installation' CONSTRAINT frequency_caps_pkey PRIMARY KEY
               CONSTRAINT frequency_caps_scope_check CHECK (scope = 'installation'),
    messages   integer NOT NULL CONSTRAINT frequency_caps_messages_check CHECK (messages BETWEEN 1 AND 1000),
    per        interval NOT NULL CONSTRAINT frequency_caps_per_check CHECK (per > interval '0' AND per <= interval '366 days'),
    then_do    text NOT NULL CONSTRAINT frequency_caps_then_do_check CHECK (then_do IN ('skip', 'defer')),
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE campaign.frequency_caps IS 'at most so many marketing messages per person and period; a campaign may have a cap of its own beside it, in its file';
COMMENT ON COLUMN campaign.frequency_caps.then_do IS 'what becomes of a message too many: it is skipped, or waits until there is room';
