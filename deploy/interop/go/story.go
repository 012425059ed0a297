// A consumer's story, played with the client that oapi-codegen makes of the published
// contract. Organisations, purposes and deliberations are those of deploy/registry.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/google/uuid"
	openapi "github.com/oapi-codegen/runtime/types"

	"interop/client"
)

const (
	householdComposition = "householdComposition"
	familyDiscount       = "familyDiscount"
	schoolAllowance      = "schoolAllowance"
	railways             = "0203430576"
)

var (
	publicTask   client.LegalBasis   = "publicTask"
	deliberation client.Deliberation = "EX-26/010"
	passed       int
)

// must ends the story when something is wrong.
func must(holds bool, what string, seen any) {
	if !holds {
		log.Fatalf("go: %s\nseen: %s", what, seen)
	}
	passed++
}

// as returns a client that bears the token in a variable of the environment.
func as(who string) *client.ClientWithResponses {
	c, err := client.NewClientWithResponses(os.Getenv("VAULT_URL"), client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		if who != "" {
			r.Header.Set("Authorization", "Bearer "+os.Getenv(who))
		}
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	return c
}

// answered returns an answer whose request could be sent.
func answered[T any](answer T, err error) T {
	if err != nil {
		log.Fatalf("go: %v", err)
	}
	return answer
}

func ptr[T any](v T) *T { return &v }

func main() {
	ctx, ssin := context.Background(), os.Getenv("SSIN")
	anybody, issuer, byLaw, byConsent, citizen := as(""), as("ISSUER"), as("BY_LAW"), as("BY_CONSENT"), as("CITIZEN")

	// Who has no token is told so, in the contract's own problem.
	nobody := answered(anybody.QueryDocumentsWithResponse(ctx, nil, client.DocumentQuery{}))
	must(nobody.StatusCode() == 401 && nobody.ApplicationproblemJSONDefault.Type == "urn:problem-type:belgif:noAccessToken", "without a token", nobody.Body)

	// An issuer uploads a file as bytes, and issues a document that names it.
	file := []byte("%PDF-1.7\ntrailer<<>>\n%%EOF\n")
	uploaded := answered(issuer.UploadAttachmentWithBodyWithResponse(ctx, &client.UploadAttachmentParams{IdempotencyKey: uuid.NewString()}, "application/octet-stream", bytes.NewReader(file)))
	must(uploaded.StatusCode() == 201 && uploaded.JSON201.MediaType == "application/pdf", "a file is told to be a PDF", uploaded.Body)
	issue := client.DocumentIssue{
		Ssin: ssin, DocumentType: householdComposition, SourceReference: "interop-go", ValidFrom: day("2025-01-01"),
		Content: client.Content{
			"asOf": "2025-01-01", "householdSize": 3, "address": map[string]any{"postalCode": "9999", "municipality": "Nergenshuizen"},
			"members": []any{map[string]any{"relation": "partner"}, map[string]any{"relation": "child", "minor": true}},
		},
		Attachments: &[]client.AttachmentId{uploaded.JSON201.AttachmentId},
	}
	issued := answered(issuer.IssueDocumentWithResponse(ctx, &client.IssueDocumentParams{IdempotencyKey: uuid.NewString()}, issue))
	must(issued.StatusCode() == 201 && issued.JSON201.State == client.DocumentStateValid, "issuing", issued.Body)
	position := ptr(issued.HTTPResponse.Header.Get("Coffre-Position"))
	document := issued.JSON201.DocumentId
	wrong := issue
	wrong.Ssin = ssin[:9] + map[bool]string{true: "00", false: "99"}[ssin[9:] != "00"]
	invalid := answered(issuer.IssueDocumentWithResponse(ctx, &client.IssueDocumentParams{IdempotencyKey: uuid.NewString()}, wrong))
	must(invalid.StatusCode() == 400 && (*invalid.ApplicationproblemJSONDefault.Issues)[0].Name == "/ssin" && !strings.Contains(string(invalid.Body), wrong.Ssin), "the refusal names the member and not the value", invalid.Body)

	// A consumer by law asks what is held, and reads it.
	procedure := "schoolEnrolmentAllowance"
	evidence := answered(byLaw.QueryEvidenceWithResponse(ctx, &client.QueryEvidenceParams{IdempotencyKey: uuid.NewString(), CoffreMinPosition: position}, client.EvidenceQuery{
		Ssin: &ssin, Procedure: &procedure, Purpose: schoolAllowance, LegalBasis: &publicTask, Deliberation: &deliberation,
		Needs: []client.EvidenceNeed{{DocumentType: householdComposition}},
	}))
	must(evidence.StatusCode() == 200 && len(evidence.JSON200.Items) == 1 && evidence.JSON200.Items[0].Outcome == client.EvidenceOutcomeHeld && (*evidence.JSON200.Items[0].Content)["householdSize"] == 3.0, "evidence by law", evidence.Body)
	read := answered(byLaw.AccessDocumentWithResponse(ctx, document, &client.AccessDocumentParams{IdempotencyKey: uuid.NewString()}, client.AccessRequest{
		Purpose: schoolAllowance, Procedure: ptr("schoolEnrolmentAllowance"), LegalBasis: &publicTask, Deliberation: &deliberation, Fields: &[]client.FieldName{"householdSize"},
	}))
	must(read.StatusCode() == 200 && len(*read.JSON200.Content) == 1, "reading by law", read.Body)

	// A consumer by consent asks twice; the citizen pages through what waits, and grants.
	ask := client.ConsentAsk{Ssin: ssin, Purpose: familyDiscount, DocumentTypes: []client.DocumentTypeCode{householdComposition}, Fields: &[]client.FieldName{"householdSize"}}
	var requested []client.ConsentId
	for range 2 {
		asked := answered(byConsent.RequestConsentWithResponse(ctx, &client.RequestConsentParams{IdempotencyKey: uuid.NewString()}, ask))
		must(asked.StatusCode() == 202, "asking for consent", asked.Body)
		requested, position = append(requested, asked.JSON202.ConsentId), ptr(asked.HTTPResponse.Header.Get("Coffre-Position"))
	}
	var waiting []client.Consent
	for after := (*client.Cursor)(nil); ; {
		page := answered(citizen.ListConsentRequestsWithResponse(ctx, &client.ListConsentRequestsParams{PageSize: ptr(client.PageSize(1)), After: after, CoffreMinPosition: position}))
		must(page.StatusCode() == 200 && len(page.JSON200.Items) == 1, "a page of one request", page.Body)
		waiting = append(waiting, page.JSON200.Items...)
		if after = page.JSON200.NextCursor; after == nil {
			break
		}
	}
	must(len(waiting) == 2 && waiting[0].ConsentId == requested[1] && waiting[1].ConsentId == requested[0], "both requests, the newest first", fmt.Sprint(waiting))
	grant := answered(citizen.GrantConsentRequestWithResponse(ctx, requested[0], &client.GrantConsentRequestParams{IdempotencyKey: uuid.NewString()}, client.ConsentRequestGrant{ShownText: shownText(ctx, anybody)}))
	must(grant.StatusCode() == 200 && grant.JSON200.State == client.ConsentStateGranted, "granting", grant.Body)
	discount := client.AccessRequest{Purpose: familyDiscount, ConsentId: &requested[0]}
	byIt := answered(byConsent.AccessDocumentWithResponse(ctx, document, &client.AccessDocumentParams{IdempotencyKey: uuid.NewString()}, discount))
	must(byIt.StatusCode() == 200 && (*byIt.JSON200.Content)["householdSize"] == 3.0, "reading under consent", byIt.Body)

	// The citizen withdraws, and sees who read what.
	withdrawn := answered(citizen.WithdrawConsentWithResponse(ctx, requested[0], &client.WithdrawConsentParams{IdempotencyKey: uuid.NewString()}))
	must(withdrawn.StatusCode() == 200 && withdrawn.JSON200.State == client.ConsentStateWithdrawn, "withdrawing", withdrawn.Body)
	late := answered(byConsent.AccessDocumentWithResponse(ctx, document, &client.AccessDocumentParams{IdempotencyKey: uuid.NewString()}, discount))
	must(late.StatusCode() == 403 && late.ApplicationproblemJSONDefault.Type == "urn:problem-type:coffre:consentWithdrawn", "reading after the withdrawal", late.Body)
	me := answered(citizen.GetCitizenWithResponse(ctx, client.CitizenGet{}))
	must(me.StatusCode() == 200 && me.JSON200.CitizenId != nil, "who am I", me.Body)
	accesses := answered(citizen.GetAccessLogWithResponse(ctx, *me.JSON200.CitizenId, &client.GetAccessLogParams{CoffreMinPosition: ptr(withdrawn.HTTPResponse.Header.Get("Coffre-Position"))}))
	readers := make(map[string]bool)
	for _, item := range accesses.JSON200.Items {
		if item.AccessId != nil && item.Organization != nil {
			readers[*item.Organization] = true
		}
	}
	must(readers[railways] && readers["0316380841"], "the log names both readers", accesses.Body)
	fmt.Printf("go: %d passed, 0 failed\n", passed)
}

// shownText returns the registered text of the purpose with its places filled in.
func shownText(ctx context.Context, anybody *client.ClientWithResponses) client.ShownText {
	registry := answered(anybody.GetRegistryWithResponse(ctx, nil)).JSON200
	var organisation, purpose string
	for _, o := range registry.Organizations {
		if o.EnterpriseNumber == railways {
			organisation = *o.Labels.En
		}
	}
	for _, p := range registry.Purposes {
		if p.Code == familyDiscount {
			purpose = *p.Labels.En
		}
	}
	for _, t := range *registry.ConsentTexts {
		if t.Purpose == familyDiscount {
			return client.ShownText{Text: strings.NewReplacer("{consumer}", organisation, "{purpose}", purpose).Replace(*t.Texts.En), Language: client.En, Version: t.Version}
		}
	}
	log.Fatal("go: the registry has no text for the purpose")
	return client.ShownText{}
}

func day(text string) (d openapi.Date) {
	if err := d.UnmarshalText([]byte(text)); err != nil {
		log.Fatal(err)
	}
	return d
}
