package api

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
)

// Every list says where its page is, with all that was asked of it and nothing else,
// in the order of the names.
func TestSelfOfAPage(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	who := tv.person(t, 1)
	me, cursor := citizenCaller(who), leafToken(3)
	id := uuid.MustParse("11111111-2222-4333-8444-555555555555")
	from, until := time.Date(2026, 1, 2, 3, 4, 5, 60_000_000, time.FixedZone("", 3600)), noon
	self := func(who Caller, operation string, ask func(ctx context.Context) (Href, error)) Href {
		t.Helper()
		href, err := ask(tv.as(t, who, operation, nil))
		if err != nil {
			t.Errorf("%s: %v", operation, err)
		}
		return href
	}
	accessLog := func(p GetAccessLogParams) Href {
		return self(me, "getAccessLog", func(ctx context.Context) (Href, error) {
			got, err := tv.GetAccessLog(ctx, GetAccessLogRequestObject{CitizenID: who, Params: p})
			page, _ := got.(GetAccessLog200JSONResponse)
			return page.Self, err
		})
	}
	listConsents := func(p ListConsentsParams) Href {
		return self(me, "listConsents", func(ctx context.Context) (Href, error) {
			got, err := tv.ListConsents(ctx, ListConsentsRequestObject{Params: p})
			page, _ := got.(ListConsents200JSONResponse)
			return page.Self, err
		})
	}
	consentRequests := func(p ListConsentRequestsParams) Href {
		return self(me, "listConsentRequests", func(ctx context.Context) (Href, error) {
			got, err := tv.ListConsentRequests(ctx, ListConsentRequestsRequestObject{Params: p})
			page, _ := got.(ListConsentRequests200JSONResponse)
			return page.Self, err
		})
	}
	listMandates := func(p ListMandatesParams) Href {
		return self(me, "listMandates", func(ctx context.Context) (Href, error) {
			got, err := tv.ListMandates(ctx, ListMandatesRequestObject{Params: p})
			page, _ := got.(ListMandates200JSONResponse)
			return page.Self, err
		})
	}
	events := func(p ListEventsParams) Href {
		return self(officeCaller(domain.RoleAuditor), "listEvents", func(ctx context.Context) (Href, error) {
			got, err := tv.ListEvents(ctx, ListEventsRequestObject{Params: p})
			page, _ := got.(ListEvents200JSONResponse)
			return page.Self, err
		})
	}
	due := func(p ListDueErasuresParams) Href {
		return self(officeCaller(domain.RolePrivacyOfficer), "listDueErasures", func(ctx context.Context) (Href, error) {
			got, err := tv.ListDueErasures(ctx, ListDueErasuresRequestObject{Params: p})
			page, _ := got.(ListDueErasures200JSONResponse)
			return page.Self, err
		})
	}
	consentLog := func(p QueryConsentLogParams) Href {
		return self(officeCaller(domain.RolePrivacyOfficer), "queryConsentLog", func(ctx context.Context) (Href, error) {
			got, err := tv.QueryConsentLog(ctx, QueryConsentLogRequestObject{Params: p, Body: &ConsentLogQuery{}})
			page, _ := got.(QueryConsentLog200JSONResponse)
			return page.Self, err
		})
	}
	heldDocuments := func(p QueryDocumentsParams) Href {
		return self(issuer(homeAffairs), "queryDocuments", func(ctx context.Context) (Href, error) {
			got, err := tv.QueryDocuments(ctx, QueryDocumentsRequestObject{Params: p, Body: &DocumentQuery{}})
			page, _ := got.(QueryDocuments200JSONResponse)
			return page.Self, err
		})
	}
	walletOf := func(p GetWalletParams) Href {
		got, _, err := tv.wallet(t, me, who, p)
		if err != nil {
			t.Error(err)
		}
		return got.Self
	}
	projectionsOf := func(p ListProjectionsParams) Href {
		return self(officeCaller(domain.RoleOperator), "listProjections", func(ctx context.Context) (Href, error) {
			got, err := tv.ListProjections(ctx, ListProjectionsRequestObject{Params: p})
			page, _ := got.(ListProjections200JSONResponse)
			return page.Self, err
		})
	}
	got := []Href{
		accessLog(GetAccessLogParams{}),
		accessLog(GetAccessLogParams{
			AccessID: AccessID{UUID: id}, DocumentType: []DocumentType{"isiPlusCard", "childCard"}, Organization: []EnterpriseNumber{flanders, railways},
			From: from, Until: until, Lang: "fr", After: cursor, PageSize: 7, CoffreMinPosition: leafToken(0),
		}),
		listConsents(ListConsentsParams{}),
		listConsents(ListConsentsParams{
			CitizenID: who, State: []ConsentState{"withdrawn", "granted"}, Lang: "fr", After: cursor, PageSize: 7, CoffreMinPosition: leafToken(0),
		}),
		consentRequests(ListConsentRequestsParams{}),
		consentRequests(ListConsentRequestsParams{CitizenID: who, Lang: "fr", After: cursor, PageSize: 7, CoffreMinPosition: leafToken(0)}),
		listMandates(ListMandatesParams{}),
		listMandates(ListMandatesParams{
			MandateID: MandateID{UUID: id}, State: []MandateState{"granted", "accepted"}, After: cursor, PageSize: 7, CoffreMinPosition: leafToken(0),
		}),
		events(ListEventsParams{}),
		events(ListEventsParams{After: cursor, Limit: 7, Category: []string{"document", "citizen"}, Type: []string{"document.issued", "a b"}, Stream: "document-" + id.String()}),
		due(ListDueErasuresParams{}),
		due(ListDueErasuresParams{After: cursor, PageSize: 7, CoffreMinPosition: leafToken(0)}),
		consentLog(QueryConsentLogParams{}),
		consentLog(QueryConsentLogParams{After: cursor, PageSize: 7, CoffreMinPosition: leafToken(0)}),
		heldDocuments(QueryDocumentsParams{}),
		heldDocuments(QueryDocumentsParams{After: cursor, PageSize: 7, CoffreMinPosition: leafToken(0)}),
		walletOf(GetWalletParams{}),
		walletOf(GetWalletParams{AsOf: until, ValidAt: "2026-06-01", Lang: "fr", CoffreMinPosition: leafToken(0)}),
		projectionsOf(ListProjectionsParams{}),
		projectionsOf(ListProjectionsParams{Name: "wallet"}),
	}
	mine := "/vault/v1/citizens/" + who.String()
	want := []Href{
		mine + "/accessLog",
		mine + "/accessLog?accessId=11111111-2222-4333-8444-555555555555&after=AAAAAAAAAAM&documentType=isiPlusCard&documentType=childCard&from=2026-01-02T03%3A04%3A05.06%2B01%3A00&organization=0316380841&organization=0203430576&pageSize=7&until=2026-06-15T10%3A00%3A00Z",
		"/vault/v1/consents",
		"/vault/v1/consents?after=AAAAAAAAAAM&citizenId=" + who.String() + "&pageSize=7&state=withdrawn&state=granted",
		"/vault/v1/consentRequests",
		"/vault/v1/consentRequests?after=AAAAAAAAAAM&citizenId=" + who.String() + "&pageSize=7",
		"/vault/v1/mandates",
		"/vault/v1/mandates?after=AAAAAAAAAAM&mandateId=11111111-2222-4333-8444-555555555555&pageSize=7&state=granted&state=accepted",
		"/vault/v1/events",
		"/vault/v1/events?after=AAAAAAAAAAM&category=document&category=citizen&limit=7&stream=document-11111111-2222-4333-8444-555555555555&type=document.issued&type=a+b",
		"/vault/v1/dueErasures",
		"/vault/v1/dueErasures?after=AAAAAAAAAAM&pageSize=7",
		"/vault/v1/consentLog/query",
		"/vault/v1/consentLog/query?after=AAAAAAAAAAM&pageSize=7",
		"/vault/v1/documents/query",
		"/vault/v1/documents/query?after=AAAAAAAAAAM&pageSize=7",
		mine + "/wallet",
		mine + "/wallet?asOf=2026-06-15T10%3A00%3A00Z&lang=fr&validAt=2026-06-01",
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
	links := linksTo("/list").text("a", "1").texts("b", []string{"2", "3"})
	for _, tc := range []struct {
		cursor Cursor
		want   Href
	}{{"x", "/list?a=1&after=x&b=2&b=3"}, {"y", "/list?a=1&after=y&b=2&b=3"}, {"", "/list?a=1&b=2&b=3"}} {
		if got := links.at(tc.cursor); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}
