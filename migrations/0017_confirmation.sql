-- What people are told who stop marketing by a word or a button, on channels for
-- which somebody wrote a text. Nobody is told anything until then.
CREATE TABLE campaign.confirmation_texts (
    channel_id bigint NOT NULL CONSTRAINT confirmation_texts_pkey PRIMARY KEY
               CONSTRAINT confirmation_texts_channel_id_fkey REFERENCES campaign.channels,
    body       text NOT NULL CONSTRAINT confirmation_texts_body_check CHECK (body <> '' AND char_length(body) <= 4096),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE campaign.confirmations (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT confirmations_pkey PRIMARY KEY,
    channel_id bigint NOT NULL CONSTRAINT confirmations_channel_id_fkey REFERENCES campaign.channels,
    contact_id bigint NOT NULL CONSTRAINT confirmations_contact_id_fkey REFERENCES campaign.contacts ON DELETE CASCADE,
    stop_hash  bytea NOT NULL,
    stopped_at timestamptz NOT NULL,
    state      text NOT NULL DEFAULT 'waiting'
               CONSTRAINT confirmations_state_check CHECK (state IN ('waiting', 'sending', 'sent', 'failed', 'unknown', 'dropped')),
    tries      integer NOT NULL DEFAULT 0,
    due_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    claimed_at timestamptz,
    ended_at   timestamptz,
    reason     text NOT NULL DEFAULT '',
    CONSTRAINT confirmations_stop_key UNIQUE (channel_id, stop_hash)
);
CREATE INDEX confirmations_waiting_idx ON campaign.confirmations (channel_id, due_at) WHERE state = 'waiting';
CREATE INDEX confirmations_sending_idx ON campaign.confirmations (claimed_at) WHERE state = 'sending';
CREATE INDEX confirmations_contact_id_idx ON campaign.confirmations (contact_id);
CREATE INDEX confirmations_ended_at_idx ON campaign.confirmations (ended_at) WHERE ended_at IS NOT NULL;
COMMENT ON TABLE campaign.confirmations IS 'one for each stop that was news; unknown: something was posted and no answer understood, so it is never posted again';
COMMENT ON COLUMN campaign.confirmations.stop_hash IS 'HMAC-SHA256, by settings.person_key, of the provider''s id of the inbound message: a delivery that is repeated is no second stop';
COMMENT ON COLUMN campaign.confirmations.stopped_at IS 'when the person wrote it, by the provider''s clock and never later than ours: the service window is counted from here';
COMMENT ON COLUMN campaign.confirmations.reason IS 'why it was dropped, or the error''s code';
