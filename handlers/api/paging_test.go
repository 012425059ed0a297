package api

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// The link self of every list holds the parameters of the call and nothing else, in the order
// of their names.
func TestSelfOfAPage(t *testing.T) {
	tv := newVault(t)
	paper := tv.household(t, 1)
	who := tv.person(t, 1)
	me, cursor := citizenCaller(who), func(list string) contract.Cursor { return tv.Cursor(list, 3) }
	first, err := tv.PositionToken(t.Context(), eventstore.Position{Commit: 1, Prepare: 1})
	if err != nil {
		t.Fatal(err)
	}
	id := uuid.MustParse("11111111-2222-4333-8444-555555555555")
	from, until := time.Date(2026, 1, 2, 3, 4, 5, 60_000_000, time.FixedZone("", 3600)), noon
	self := func(who edge.Caller, operation string, ask func(ctx context.Context) (contract.Href, error)) contract.Href {
		t.Helper()
		href, err := ask(tv.as(t, who, operation, nil))
		if err != nil {
			t.Errorf("%s: %v", operation, err)
		}
		return href
	}
	accessLog := func(p contract.GetAccessLogParams) contract.Href {
		return self(me, "getAccessLog", func(ctx context.Context) (contract.Href, error) {
			got, err := tv.GetAccessLog(ctx, contract.GetAccessLogRequestObject{CitizenID: who, Params: p})
			page, _ := got.(contract.GetAccessLog200JSONResponse)
			return page.Self, err
		})
	}
	listConsents := func(p contract.ListConsentsParams) contract.Href {
		return self(me, "listConsents", func(ctx context.Context) (contract.Href, error) {
			got, err := tv.ListConsents(ctx, contract.ListConsentsRequestObject{Params: p})
			page, _ := got.(contract.ListConsents200JSONResponse)
			return page.Self, err
		})
	}
	consentRequests := func(p contract.ListConsentRequestsParams) contract.Href {
		return self(me, "listConsentRequests", func(ctx context.Context) (contract.Href, error) {
			got, err := tv.ListConsentRequests(ctx, contract.ListConsentRequestsRequestObject{Params: p})
			page, _ := got.(contract.ListConsentRequests200JSONResponse)
			return page.Self, err
		})
	}
	listMandates := func(p contract.ListMandatesParams) contract.Href {
		return self(me, "listMandates", func(ctx context.Context) (contract.Href, error) {
			got, err := tv.ListMandates(ctx, contract.ListMandatesRequestObject{Params: p})
			page, _ := got.(contract.ListMandates200JSONResponse)
			return page.Self, err
		})
	}
	events := func(p contract.ListEventsParams) contract.Href {
		return self(officeCaller(domain.RoleAuditor), "listEvents", func(ctx context.Context) (contract.Href, error) {
			got, err := tv.ListEvents(ctx, contract.ListEventsRequestObject{Params: p})
			page, _ := got.(contract.ListEvents200JSONResponse)
			return page.Self, err
		})
	}
	due := func(p contract.ListDueErasuresParams) contract.Href {
		return self(officeCaller(domain.RolePrivacyOfficer), "listDueErasures", func(ctx context.Context) (contract.Href, error) {
			got, err := tv.ListDueErasures(ctx, contract.ListDueErasuresRequestObject{Params: p})
			page, _ := got.(contract.ListDueErasures200JSONResponse)
			return page.Self, err
		})
	}
	consentLog := func(p contract.QueryConsentLogParams) contract.Href {
		return self(officeCaller(domain.RolePrivacyOfficer), "queryConsentLog", func(ctx context.Context) (contract.Href, error) {
			got, err := tv.QueryConsentLog(ctx, contract.QueryConsentLogRequestObject{Params: p, Body: &contract.ConsentLogQuery{}})
			page, _ := got.(contract.QueryConsentLog200JSONResponse)
			return page.Self, err
		})
	}
	heldDocuments := func(p contract.QueryDocumentsParams) contract.Href {
		return self(issuer(homeAffairs), "queryDocuments", func(ctx context.Context) (contract.Href, error) {
			got, err := tv.QueryDocuments(ctx, contract.QueryDocumentsRequestObject{Params: p, Body: &contract.DocumentQuery{}})
			page, _ := got.(contract.QueryDocuments200JSONResponse)
			return page.Self, err
		})
	}
	walletOf := func(p contract.GetWalletParams) contract.Href {
		got, _, err := tv.wallet(t, me, who, p)
		if err != nil {
			t.Error(err)
		}
		return got.Self
	}
	projectionsOf := func(p contract.ListProjectionsParams) contract.Href {
		return self(officeCaller(domain.RoleOperator), "listProjections", func(ctx context.Context) (contract.Href, error) {
			got, err := tv.ListProjections(ctx, contract.ListProjectionsRequestObject{Params: p})
			page, _ := got.(contract.ListProjections200JSONResponse)
			return page.Self, err
		})
	}
	mine := "/vault/v1/citizens/" + who.String()
	got := []contract.Href{
		accessLog(contract.GetAccessLogParams{}),
		accessLog(contract.GetAccessLogParams{
			AccessID: new(contract.AccessID{UUID: id}), DocumentType: []contract.DocumentTypeCode{"isiPlusCard", "diploma"}, Organization: []contract.EnterpriseNumber{flanders, railways},
			List: "told", Purpose: "ageVerification", From: &from, Until: &until, Lang: "fr", After: cursor("getAccessLog"), PageSize: 7, CoffreMinPosition: first,
		}),
		listConsents(contract.ListConsentsParams{}),
		listConsents(contract.ListConsentsParams{
			CitizenID: &who, State: []contract.ConsentState{"withdrawn", "granted"}, Lang: "fr", After: cursor("/vault/v1/consents"), PageSize: 7, CoffreMinPosition: first,
		}),
		consentRequests(contract.ListConsentRequestsParams{}),
		consentRequests(contract.ListConsentRequestsParams{CitizenID: &who, Lang: "fr", After: cursor("/vault/v1/consentRequests"), PageSize: 7, CoffreMinPosition: first}),
		listMandates(contract.ListMandatesParams{}),
		listMandates(contract.ListMandatesParams{
			MandateID: new(contract.MandateID{UUID: id}), State: []contract.MandateState{"granted", "accepted"}, After: cursor("listMandates"), PageSize: 7, CoffreMinPosition: first,
		}),
		events(contract.ListEventsParams{}),
		events(contract.ListEventsParams{After: contract.LeafToken(2), PageSize: 7, Category: []string{"document", "citizen"}, Type: []string{"document.issued", "consent.granted"}, Stream: "document-" + paper.String()}),
		events(contract.ListEventsParams{From: &from, Until: &until, Role: []contract.ActorRole{"issuer", "operator"}, Organization: []contract.EnterpriseNumber{homeAffairs}}),
		due(contract.ListDueErasuresParams{}),
		due(contract.ListDueErasuresParams{After: cursor("listDueErasures"), PageSize: 7, CoffreMinPosition: first}),
		consentLog(contract.QueryConsentLogParams{}),
		consentLog(contract.QueryConsentLogParams{After: tv.Cursor("queryConsentLog", 3, 3, until.UnixMicro()), PageSize: 7, CoffreMinPosition: first}),
		heldDocuments(contract.QueryDocumentsParams{}),
		heldDocuments(contract.QueryDocumentsParams{After: cursor("queryDocuments"), PageSize: 7, CoffreMinPosition: first}),
		walletOf(contract.GetWalletParams{}),
		walletOf(contract.GetWalletParams{AsOf: &until, ValidAt: "2026-06-01", Lang: "fr", CoffreMinPosition: first}),
		walletOf(contract.GetWalletParams{AsOf: &until, After: tv.Cursor(mine+"/wallet?asOf=2026-06-15T10%3A00%3A00Z", 3, until.UnixMicro(), 0, -1, -1), PageSize: 7}),
		projectionsOf(contract.ListProjectionsParams{}),
		projectionsOf(contract.ListProjectionsParams{Name: "wallet"}),
	}
	want := []contract.Href{
		mine + "/accessLog",
		mine + "/accessLog?accessId=11111111-2222-4333-8444-555555555555&after=" + cursor("getAccessLog") + "&documentType=isiPlusCard&documentType=diploma&from=2026-01-02T03%3A04%3A05.06%2B01%3A00&lang=fr&list=told&organization=0316380841&organization=0203430576&pageSize=7&purpose=ageVerification&until=2026-06-15T10%3A00%3A00Z",
		"/vault/v1/consents",
		"/vault/v1/consents?after=" + cursor("/vault/v1/consents") + "&citizenId=" + who.String() + "&lang=fr&pageSize=7&state=withdrawn&state=granted",
		"/vault/v1/consentRequests",
		"/vault/v1/consentRequests?after=" + cursor("/vault/v1/consentRequests") + "&citizenId=" + who.String() + "&lang=fr&pageSize=7",
		"/vault/v1/mandates",
		"/vault/v1/mandates?after=" + cursor("listMandates") + "&mandateId=11111111-2222-4333-8444-555555555555&pageSize=7&state=granted&state=accepted",
		"/vault/v1/events",
		"/vault/v1/events?after=AAAAAAAAAAI&category=document&category=citizen&pageSize=7&stream=document-" + paper.String() + "&type=document.issued&type=consent.granted",
		"/vault/v1/events?from=2026-01-02T03%3A04%3A05.06%2B01%3A00&organization=0308356862&role=issuer&role=operator&until=2026-06-15T10%3A00%3A00Z",
		"/vault/v1/dueErasures",
		"/vault/v1/dueErasures?after=" + cursor("listDueErasures") + "&pageSize=7",
		"/vault/v1/consentLog/query",
		"/vault/v1/consentLog/query?after=" + tv.Cursor("queryConsentLog", 3, 3, until.UnixMicro()) + "&pageSize=7",
		"/vault/v1/documents/query",
		"/vault/v1/documents/query?after=" + cursor("queryDocuments") + "&pageSize=7",
		mine + "/wallet",
		mine + "/wallet?asOf=2026-06-15T10%3A00%3A00Z&lang=fr&validAt=2026-06-01",
		mine + "/wallet?after=" + tv.Cursor(mine+"/wallet?asOf=2026-06-15T10%3A00%3A00Z", 3, until.UnixMicro(), 0, -1, -1) + "&asOf=2026-06-15T10%3A00%3A00Z&pageSize=7",
		"/vault/v1/projections",
		"/vault/v1/projections?name=wallet",
	}
	if len(got) != len(want) {
		t.Fatalf("%d lists, %d links", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%q\nwant %q", got[i], want[i])
		}
	}
}

// Links to several pages of one list do not change each other.
func TestLinksToPages(t *testing.T) {
	links := edge.LinksTo("/list").Text("a", "1").Texts("b", []string{"2", "3 4"})
	for _, tc := range []struct {
		cursor contract.Cursor
		want   contract.Href
	}{{"x", "/list?a=1&after=x&b=2&b=3+4"}, {"y", "/list?a=1&after=y&b=2&b=3+4"}, {"", "/list?a=1&b=2&b=3+4"}} {
		if got := links.At(tc.cursor); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

// The versions of a document and the restrictions of a citizen come page by page, each once and
// in order, and a cursor of one list is none of another.
func TestVersionsAndRestrictionsInPages(t *testing.T) {
	tv := newVault(t)
	id := tv.issue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(1), DocumentType: "identityData", Content: contract.Content(identity)})
	if _, err := tv.update(t, homeAffairs, id, `"1"`, identity2); err != nil {
		t.Fatal(err)
	}
	who := tv.person(t, 1)
	me := citizenCaller(who)
	var restrictions []domain.RestrictionID
	for range 3 {
		r, err := tv.restrict(t, me, who, contract.RestrictionAsk{Reason: "accuracyContested"})
		if err != nil {
			t.Fatal(err)
		}
		restrictions = append(restrictions, r.RestrictionID)
	}
	tv.waitForReadModels(t)
	var versions []contract.DocumentVersion
	var cursor contract.Cursor
	for p := (contract.GetDocumentVersionsParams{PageSize: 1}); ; {
		answer, err := tv.GetDocumentVersions(tv.as(t, me, "getDocumentVersions", nil), contract.GetDocumentVersionsRequestObject{DocumentID: id, Params: p})
		if err != nil {
			t.Fatal(err)
		}
		page := answer.(contract.GetDocumentVersions200JSONResponse)
		if len(page.Items) != 1 {
			t.Fatalf("%d on a page of one", len(page.Items))
		}
		versions = append(versions, page.Items[0].Version)
		if p.After = page.NextCursor; p.After == "" {
			break
		}
		cursor = p.After
	}
	if !slices.Equal(versions, []contract.DocumentVersion{1, 2}) {
		t.Errorf("versions %v", versions)
	}
	var listed []domain.RestrictionID
	p := contract.ListRestrictionsParams{PageSize: 2}
	for {
		answer, err := tv.ListRestrictions(tv.as(t, me, "listRestrictions", nil), contract.ListRestrictionsRequestObject{CitizenID: who, Params: p})
		if err != nil {
			t.Fatal(err)
		}
		page := answer.(contract.ListRestrictions200JSONResponse)
		if len(page.Items) > 2 {
			t.Fatalf("%d on a page of two", len(page.Items))
		}
		for _, r := range page.Items {
			listed = append(listed, r.RestrictionID)
		}
		if p.After = page.NextCursor; p.After == "" {
			break
		}
	}
	if !slices.Equal(listed, restrictions) {
		t.Errorf("restrictions %v, want %v", listed, restrictions)
	}
	p.After = cursor
	if _, err := tv.ListRestrictions(tv.as(t, me, "listRestrictions", nil), contract.ListRestrictionsRequestObject{CitizenID: who, Params: p}); !errors.Is(err, contract.ErrUnknownPosition) {
		t.Errorf("a cursor of another list: %v", err)
	}
}
