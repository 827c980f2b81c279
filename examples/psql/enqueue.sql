-- An order and its notice in one transaction, with nothing but psql:
--
--   psql "$SHOP_DATABASE_URL" -v ON_ERROR_STOP=1 -v recipient=+4915112345678 -f examples/psql/enqueue.sql
--
-- The login role is a member of campaign_enqueuer and owns schema shop.
\set QUIET on
\pset format unaligned
\pset tuples_only on
CREATE TABLE IF NOT EXISTS shop.orders (id text PRIMARY KEY, total numeric NOT NULL);

-- Rolled back: no order and no message.
BEGIN;
INSERT INTO shop.orders VALUES ('psql-1', 12.50);
SELECT campaign.enqueue('sales', 'order_update', 'en_US', :'recipient', '{"body.1":"psql-1","body.2":"Monday"}', 'psql-1-shipped') AS never \gset
ROLLBACK;

-- Committed: both. high leaves within milliseconds of the commit.
BEGIN;
INSERT INTO shop.orders VALUES ('psql-1', 12.50) ON CONFLICT DO NOTHING;
SELECT campaign.enqueue(channel => 'sales', template => 'order_update', language => 'en_US', recipient => :'recipient',
       parameters => jsonb_build_object('body.1', 'psql-1', 'body.2', 'Monday'),
       idempotency_key => 'psql-1-shipped', priority => 'high') AS id \gset
COMMIT;

-- The same call again gives the same message and sends nothing twice.
SELECT campaign.enqueue(channel => 'sales', template => 'order_update', language => 'en_US', recipient => :'recipient',
       parameters => jsonb_build_object('body.1', 'psql-1', 'body.2', 'Monday'),
       idempotency_key => 'psql-1-shipped', priority => 'high') = :id AS same \gset
\if :same
\else
    \warn 'the same key gave another message'
    SELECT 1 / 0;
\endif

-- Something for tomorrow, thought better of.
SELECT campaign.enqueue('sales', 'hello', 'en_US', :'recipient', '{}', 'psql-1-reminder', send_after => now() + interval '1 day') AS reminder \gset
SELECT campaign.cancel_message(:reminder) AS cancelled \gset
\if :cancelled
\else
    \warn 'the reminder was not cancelled'
    SELECT 1 / 0;
\endif

-- What became of it? A service would look now and then.
SELECT pg_sleep(3);
SELECT 'message ' || :id || ' is ' || state FROM campaign.message_status(:id);
SELECT state IN ('accepted', 'sent', 'delivered', 'read') AS sent FROM campaign.message_status(:id) \gset
\if :sent
\else
    \warn 'it was not sent'
    SELECT 1 / 0;
\endif
