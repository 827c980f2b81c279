#!/usr/bin/env python3
"""An order and its notice in one transaction, with psycopg 3.

    SHOP_DATABASE_URL=postgres://shop:...@host/db examples/python/enqueue.py +4915112345678

The login role is a member of campaign_enqueuer and owns schema shop.
"""

import os
import sys
import time

import psycopg
from psycopg.types.json import Jsonb

ENQUEUE = """
    SELECT campaign.enqueue(channel => 'sales', template => 'order_update', language => 'en_US',
                            recipient => %s, parameters => %s, idempotency_key => %s)
"""


def enqueue(conn, order, recipient):
    parameters = Jsonb({"body.1": order, "body.2": "Wednesday"})
    return conn.execute(ENQUEUE, (recipient, parameters, order + "-shipped")).fetchone()[0]


def place(conn, order, recipient, pay):
    with conn.transaction():
        conn.execute("INSERT INTO shop.orders VALUES (%s, 12.50) ON CONFLICT DO NOTHING", (order,))
        message = enqueue(conn, order, recipient)
        pay()
    return message


def decline():
    raise RuntimeError("the card was declined")


def main(recipient):
    with psycopg.connect(os.environ["SHOP_DATABASE_URL"], autocommit=True) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS shop.orders (id text PRIMARY KEY, total numeric NOT NULL)")

        # Rolled back: no order and no message.
        try:
            place(conn, "python-1", recipient, decline)
        except RuntimeError:
            pass
        # Twice, as after a lost answer: one order and one message.
        message = place(conn, "python-2", recipient, lambda: None)
        assert place(conn, "python-2", recipient, lambda: None) == message

        # Many at once; one bad element refuses all and is named.
        def notice(n, **other):
            return {"channel": "sales", "template": "hello", "language": "en_US", "recipient": f"+49151200{n:05}",
                    "idempotency_key": f"python-many-{n}", "priority": "low", **other}

        many = "SELECT idempotency_key, id FROM campaign.enqueue_many(%s)"
        rows = conn.execute(many, (Jsonb([notice(n) for n in range(100)]),)).fetchall()
        assert [key for key, _ in rows] == [f"python-many-{n}" for n in range(100)]
        try:
            conn.execute(many, (Jsonb([notice(100), notice(101, recipient="12")]),))
            raise AssertionError("a bad number was taken")
        except psycopg.Error as error:
            assert error.sqlstate == "WA005" and error.diag.column_name == "recipient", error
            print("refused:", error.diag.message_primary, "-", error.diag.message_hint)

        # What became of it?
        for _ in range(100):
            state, reason, code = conn.execute(
                "SELECT state, reason, error_code FROM campaign.message_status(%s)", (message,)).fetchone()
            if state in ("sent", "delivered", "read"):
                print("message", message, "is", state)
                return
            assert state not in ("failed", "skipped", "cancelled", "unknown"), (state, reason, code)
            time.sleep(0.2)
        raise AssertionError(f"message {message} is still {state}")


if __name__ == "__main__":
    main(sys.argv[1])
