"""Judges a delivery of a running vault with Python's standardwebhooks, which somebody else wrote."""

import json
import sys
from uuid import uuid4

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

with open(sys.argv[1], encoding="utf-8") as file:
    delivery = json.load(file)
webhook, headers, body = Webhook(delivery["key"]), delivery["headers"], delivery["body"]
passed = 0


def must(what: str, holds: bool) -> None:
    """Counts a check that holds, and ends at one that does not."""
    global passed
    if not holds:
        sys.exit(f"judge.py: {what}")
    passed += 1


def refused(by: Webhook, text: str, heads: dict[str, str]) -> bool:
    """Tells whether a delivery is refused."""
    try:
        by.verify(text, heads)
    except WebhookVerificationError:
        return True
    return False


event = webhook.verify(body, headers)
must("the event is the one that was asked for", event["data"]["documentId"] == delivery["documentId"])
must("the event has the id of the delivery", event["id"] == headers["webhook-id"])
must("another body is refused", all(refused(webhook, body[:i] + chr(ord(body[i]) ^ 1) + body[i + 1 :], headers) for i in range(len(body))))
must("another id is refused", refused(webhook, body, {**headers, "webhook-id": str(uuid4())}))
must("an old time is refused", refused(webhook, body, {**headers, "webhook-timestamp": "1700000000"}))
must("another secret is refused", refused(Webhook("whsec_" + "QUJD" * 11), body, headers))
print(f"{passed} passed by Python's standardwebhooks, 0 failed")
