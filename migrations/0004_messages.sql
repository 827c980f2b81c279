-- The truth about every recipient. Partitioned by ranges of id into few, large
-- partitions (25 million ids each: 40 at a billion rows), made ahead of need by
-- CREATE ... LIKE and ATTACH, dropped by DETACH CONCURRENTLY.
--
-- No index names the state, the proof or the provider id: so every update but
-- fan-out's (which clears due_at) stays HOT.

CREATE SEQUENCE campaign.message_ids AS bigint CACHE 1;

CREATE TABLE campaign.messages (
    id           bigint NOT NULL DEFAULT nextval('campaign.message_ids'),
    campaign_id  bigint NOT NULL DEFAULT 0,
    channel_id   bigint NOT NULL,
    template_id  bigint NOT NULL,
    contact_id   bigint NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    due_at       timestamptz,
    claimed_at   timestamptz,
    expires_at   timestamptz,
    sent_at      timestamptz,
    delivered_at timestamptz,
    read_at      timestamptz,
    failed_at    timestamptz,
    claim_id     uuid,
    row_number   bigint NOT NULL DEFAULT 0,
    attempt      integer NOT NULL DEFAULT 0,
    posted       integer NOT NULL DEFAULT 0,
    posts        integer NOT NULL DEFAULT 0,
    proof        smallint NOT NULL DEFAULT 0,
    resends      smallint NOT NULL DEFAULT 0,
    resend       boolean NOT NULL DEFAULT false,
    state        text NOT NULL,
    reason       text NOT NULL DEFAULT '',
    error_code   text NOT NULL DEFAULT '',
    raw_status   text NOT NULL DEFAULT '',
    provider_id  text NOT NULL DEFAULT '',
    phone        text NOT NULL,
    parameters   jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT messages_pkey PRIMARY KEY (id),
    CONSTRAINT messages_state_check CHECK (state IN ('skipped', 'pending', 'queued', 'sending', 'unknown', 'accepted',
        'held', 'sent', 'delivered', 'read', 'deferred', 'failed', 'cancelled'))
) PARTITION BY RANGE (id);
ALTER SEQUENCE campaign.message_ids OWNED BY campaign.messages.id;

-- Fan-out finds work by state, never by a cursor over ids: low ids commit late.
CREATE INDEX messages_due_idx ON campaign.messages (campaign_id, due_at, id) WHERE due_at IS NOT NULL;
-- "What happened to one person."
CREATE INDEX messages_contact_idx ON campaign.messages (contact_id) WHERE contact_id > 0;

COMMENT ON COLUMN campaign.messages.attempt IS 'turns so far; fan-out raises it';
COMMENT ON COLUMN campaign.messages.posted IS 'the attempt that claim_id, provider_id and proof belong to';
COMMENT ON COLUMN campaign.messages.posts IS 'POSTs so far: claims that were not released';
COMMENT ON COLUMN campaign.messages.proof IS '0 none, 1 accepted or held, 2 sent, 3 failed, 4 delivered, 5 read';
COMMENT ON COLUMN campaign.messages.resend IS 'a POST of unknown fate was made, and another one waits or is under way';

CREATE TABLE campaign.attempts (
    message_id  bigint NOT NULL,
    attempt     integer NOT NULL,
    claim_id    uuid,
    provider_id text NOT NULL DEFAULT '',
    state       text NOT NULL,
    error_code  text NOT NULL DEFAULT '',
    claimed_at  timestamptz,
    PRIMARY KEY (message_id, attempt)
);
COMMENT ON TABLE campaign.attempts IS 'former attempts of messages; the current one is in messages';

-- Who was claimed together. Nothing finds a claim that nobody answered but this
-- and the message itself, whose state has no index: the repair pass looks at every
-- claim once more when it must be over, and then forgets it. One row a batch.
CREATE TABLE campaign.claims (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT claims_pkey PRIMARY KEY,
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    messages   bigint[] NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- Finds the message of a provider id: replies, and statuses without an opaque
-- id. A side table that is only inserted to, decided by measurement (400,000
-- messages through accepted, sent, delivered in batches of 500, PostgreSQL 15):
--   side table, btree on the hash   412 MB of WAL   41 % HOT   47 MB of indexes
--   hash index on provider_id       428 MB          34 %       65 MB
--   btree index on provider_id      470 MB          34 %       66 MB
-- in the same time (8.8 to 9.7 s): an index on messages makes every outcome a
-- non-HOT update of all its indexes.
CREATE TABLE campaign.provider_ids (
    hash       bigint NOT NULL,
    message_id bigint NOT NULL,
    attempt    integer NOT NULL
);
CREATE INDEX provider_ids_hash_idx ON campaign.provider_ids (hash);
COMMENT ON COLUMN campaign.provider_ids.hash IS 'hashtextextended(provider_id, 0); the message row is checked afterwards';

-- Counters. Every transition inserts what it changed; one process at a time folds
-- these rows into the sums. Nobody ever waits for a counter's row lock.
CREATE TABLE campaign.message_counts (
    campaign_id bigint NOT NULL,
    channel_id  bigint NOT NULL,
    state       text NOT NULL,
    detail      text NOT NULL,
    n           bigint NOT NULL,
    PRIMARY KEY (campaign_id, channel_id, state, detail)
);
CREATE TABLE campaign.message_count_deltas (
    campaign_id bigint NOT NULL,
    channel_id  bigint NOT NULL,
    state       text NOT NULL,
    detail      text NOT NULL,
    n           bigint NOT NULL
);
CREATE VIEW campaign.message_totals AS
SELECT campaign_id, channel_id, state, detail, sum(n)::bigint AS n
  FROM (SELECT campaign_id, channel_id, state, detail, n FROM campaign.message_counts
        UNION ALL
        SELECT campaign_id, channel_id, state, detail, n FROM campaign.message_count_deltas) AS c
 GROUP BY campaign_id, channel_id, state, detail
HAVING sum(n) <> 0;
COMMENT ON COLUMN campaign.message_counts.detail IS 'the reason of what is skipped or waits, the code of what failed';

-- POSTs of the last two minutes, one row per node, campaign and second: what a
-- status shows as the rate now. Unlogged: after a crash there was none.
CREATE UNLOGGED TABLE campaign.samples (
    campaign_id bigint NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    posts       bigint NOT NULL
);
