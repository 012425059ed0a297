# step start
coffre serve --dev --listen 127.0.0.1:8080 --data data &
VAULT=http://127.0.0.1:8080
until curl -sf -o /dev/null $VAULT/readyz; do sleep 1; done

# step contract
curl -sf -o openapi.yaml $VAULT/vault/v1/doc/openapi.yaml
curl -s $VAULT/vault/v1/registry -o registry.json

# step issue
ISSUER=$(coffre token --data data --role issuer --org 0308356862)
curl -s -X POST $VAULT/vault/v1/documents -H "Authorization: Bearer $ISSUER" \
  -H 'Idempotency-Key: 7d0b1f5e-3c1a-4b0e-9a55-2f6d8c9e4a11' -H 'Content-Type: application/json' -d '{
    "ssin": "84022711082", "documentType": "householdComposition", "sourceReference": "household-1",
    "validFrom": "2026-03-01", "content": {"asOf": "2026-03-01", "householdSize": 2, "members": [{"relation": "child"}]}}'

# step ask
READER=$(coffre token --data data --role consumer --org 0203430576)
CONSENT=$(curl -s -X POST $VAULT/vault/v1/consentRequests -H "Authorization: Bearer $READER" \
  -H 'Idempotency-Key: 1c8fad2f-5b64-4e2d-8b88-3a1f7e2c9d55' -H 'Content-Type: application/json' -d '{
    "ssin": "84022711082", "purpose": "familyDiscount",
    "documentTypes": ["householdComposition"], "fields": ["householdSize"]}' |
  sed 's/.*"consentId":"\([^"]*\)".*/\1/')

# step allow
echo 84022711082 | coffre consents accept --data data --ssin-file - --lang en $CONSENT

# step read
DOCUMENT=$(curl -s $VAULT/vault/v1/consents/$CONSENT/documents -H "Authorization: Bearer $READER" |
  sed 's/.*"documentId":"\([^"]*\)".*/\1/')
curl -s -X POST $VAULT/vault/v1/documents/$DOCUMENT/access -H "Authorization: Bearer $READER" \
  -H 'Idempotency-Key: 2d9fbe30-6c75-4f3e-9c99-4b2a8f3d0e66' -H 'Content-Type: application/json' \
  -d '{"purpose": "familyDiscount", "consentId": "'$CONSENT'"}'

# step refused
curl -s -X POST $VAULT/vault/v1/documents/$DOCUMENT/access -H "Authorization: Bearer $READER" \
  -H 'Idempotency-Key: 3eafcf41-7d86-4a4f-8daa-5c3b9a4e1f77' -H 'Content-Type: application/json' \
  -d '{"purpose": "schoolAllowance", "consentId": "'$CONSENT'"}'

# step looked
echo 84022711082 | coffre accesses list --data data --ssin-file - --lang en

# step stop
kill $!
