"""A consumer's story, played with the client that openapi-python-client makes of the
published contract. Organisations, purposes and deliberations are those of deploy/registry."""

import datetime
import io
import os
import sys
import uuid

from client import AuthenticatedClient, Client
from client.api.citizens import get_access_log, get_citizen
from client.api.consents import grant_consent_request, list_consent_requests, request_consent, withdraw_consent
from client.api.documents import access_document, issue_document, query_documents, upload_attachment
from client.api.evidence import query_evidence
from client.api.reference import get_registry
from client.models import (
    AccessRequest,
    CitizenGet,
    ConsentAsk,
    ConsentRequestGrant,
    ConsentState,
    Content,
    DocumentIssue,
    DocumentQuery,
    DocumentState,
    EvidenceNeed,
    EvidenceOutcome,
    EvidenceQuery,
    IssueLocation,
    Language,
    ShownText,
)
from client.types import File

HOUSEHOLD_COMPOSITION = "householdComposition"
FAMILY_DISCOUNT = "familyDiscount"
SCHOOL_ALLOWANCE = {"purpose": "schoolAllowance", "legal_basis": "publicTask", "deliberation": "EX-26/010"}
FLANDERS, RAILWAYS = "0316380841", "0203430576"

url = os.environ["VAULT_URL"]
ssin = os.environ["SSIN"]
passed = 0


def must(holds, what, seen):
    """Ends the story when something is wrong."""
    global passed
    if not holds:
        sys.exit(f"python: {what}\nseen: {seen}")
    passed += 1


def bearing(who):
    return AuthenticatedClient(base_url=url, token=os.environ[who])


def key():
    return str(uuid.uuid4())


anybody, nobody = Client(base_url=url), AuthenticatedClient(base_url=url, token="none")
issuer, by_law, by_consent, citizen = bearing("ISSUER"), bearing("BY_LAW"), bearing("BY_CONSENT"), bearing("CITIZEN")

# Who has no token that holds is told so, in the contract's own problem.
answer = query_documents.sync_detailed(client=nobody, body=DocumentQuery())
must(answer.status_code == 401 and answer.parsed.type_ == "urn:problem-type:belgif:invalidAccessToken", "without a token", answer)

# An issuer uploads a file as bytes, and issues a document that names it.
pdf = b"%PDF-1.7\ntrailer<<>>\n%%EOF\n"
answer = upload_attachment.sync_detailed(client=issuer, body=File(payload=io.BytesIO(pdf)), idempotency_key=key())
must(answer.status_code == 201 and answer.parsed.media_type == "application/pdf", "a file is told to be a PDF", answer)
content = Content()
content.additional_properties = {
    "asOf": "2025-01-01",
    "householdSize": 3,
    "address": {"postalCode": "9999", "municipality": "Nergenshuizen"},
    "members": [{"relation": "partner"}, {"relation": "child", "minor": True}],
}
issue = DocumentIssue(
    ssin=ssin,
    document_type=HOUSEHOLD_COMPOSITION,
    source_reference="interop-python",
    valid_from=datetime.date(2025, 1, 1),
    content=content,
    attachments=[answer.parsed.attachment_id],
)
issued = issue_document.sync_detailed(client=issuer, body=issue, idempotency_key=key())
must(issued.status_code == 201 and issued.parsed.state is DocumentState.VALID, "issuing", issued)
document = issued.parsed.document_id
position = issued.headers["Coffre-Position"]
issue.ssin = ssin[:9] + ("99" if ssin[9:] == "00" else "00")
answer = issue_document.sync_detailed(client=issuer, body=issue, idempotency_key=key())
wrong = answer.parsed.issues[0]
must(answer.status_code == 400 and wrong.in_ is IssueLocation.BODY and wrong.name == "/ssin", "the refusal names the member", answer)
must(issue.ssin.encode() not in answer.content, "and not the value", answer)

# A consumer by law asks what is held, and reads it.
answer = query_evidence.sync_detailed(
    client=by_law,
    body=EvidenceQuery(ssin=ssin, procedure="schoolEnrolmentAllowance", needs=[EvidenceNeed(document_type=HOUSEHOLD_COMPOSITION)], **SCHOOL_ALLOWANCE),
    coffre_min_position=position,
)
held = answer.parsed.items[0]
must(answer.status_code == 200 and held.outcome is EvidenceOutcome.HELD and held.content["householdSize"] == 3, "evidence by law", answer)
answer = access_document.sync_detailed(
    document,
    client=by_law,
    body=AccessRequest(procedure="schoolEnrolmentAllowance", fields=["householdSize"], **SCHOOL_ALLOWANCE),
    idempotency_key=key(),
)
must(answer.status_code == 200 and answer.parsed.content.to_dict() == {"householdSize": 3}, "reading by law", answer)

# A consumer by consent asks twice; the citizen pages through what waits, and grants.
requested = []
for _ in range(2):
    ask = ConsentAsk(ssin=ssin, purpose=FAMILY_DISCOUNT, document_types=[HOUSEHOLD_COMPOSITION], fields=["householdSize"])
    answer = request_consent.sync_detailed(client=by_consent, body=ask, idempotency_key=key())
    must(answer.status_code == 202, "asking for consent", answer)
    requested.append(answer.parsed.consent_id)
    position = answer.headers["Coffre-Position"]
waiting, more = [], {}
while True:
    answer = list_consent_requests.sync_detailed(client=citizen, page_size=1, coffre_min_position=position, **more)
    must(answer.status_code == 200 and len(answer.parsed.items) == 1, "a page of one request", answer)
    waiting += [consent.consent_id for consent in answer.parsed.items]
    if not answer.parsed.next_cursor:
        break
    more = {"after": answer.parsed.next_cursor}
must(waiting == requested[::-1], "both requests, the newest first", waiting)
registry = get_registry.sync(client=anybody)
registered = next(t for t in registry.consent_texts if t.purpose == FAMILY_DISCOUNT)
text = registered.texts.en
text = text.replace("{consumer}", next(o.labels.en for o in registry.organizations if o.enterprise_number == RAILWAYS))
text = text.replace("{purpose}", next(p.labels.en for p in registry.purposes if p.code == FAMILY_DISCOUNT))
shown = ConsentRequestGrant(shown_text=ShownText(text=text, language=Language.EN, version=registered.version))
answer = grant_consent_request.sync_detailed(requested[0], client=citizen, body=shown, idempotency_key=key())
must(answer.status_code == 200 and answer.parsed.state is ConsentState.GRANTED, "granting", answer)
discount = AccessRequest(purpose=FAMILY_DISCOUNT, consent_id=requested[0])
answer = access_document.sync_detailed(document, client=by_consent, body=discount, idempotency_key=key())
must(answer.status_code == 200 and answer.parsed.content["householdSize"] == 3, "reading under consent", answer)

# The citizen withdraws, and sees who read what.
answer = withdraw_consent.sync_detailed(requested[0], client=citizen, idempotency_key=key())
must(answer.status_code == 200 and answer.parsed.state is ConsentState.WITHDRAWN, "withdrawing", answer)
position = answer.headers["Coffre-Position"]
answer = access_document.sync_detailed(document, client=by_consent, body=discount, idempotency_key=key())
must(answer.status_code == 403 and answer.parsed.type_ == "urn:problem-type:coffre:consentWithdrawn", "reading after the withdrawal", answer)
me = get_citizen.sync(client=citizen, body=CitizenGet())
answer = get_access_log.sync_detailed(me.citizen_id, client=citizen, coffre_min_position=position)
readers = {item.organization for item in answer.parsed.items if item.access_id}
must(readers >= {FLANDERS, RAILWAYS}, "the log names both readers", answer)
print(f"python: {passed} passed, 0 failed")
