package api

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// F32: of the filters of a reading, which are recorded in clear for ever, only what the log has
// is accepted; anything else is refused, named by its place and not by its value, and leaves
// nothing.
func TestF32FiltersOfEventsAreTheLogsOwn(t *testing.T) {
	tv := newVault(t)
	paper := tv.household(t, 1)
	list := func(p contract.ListEventsParams) error {
		_, err := tv.ListEvents(tv.as(t, officeCaller(domain.RoleAuditor), "listEvents", nil), contract.ListEventsRequestObject{Params: p})
		return err
	}
	before := len(tv.log(t))
	for name, wrong := range map[string][]contract.ListEventsParams{
		"category":     {{Category: []string{"janjansen"}}, {Category: []string{"document", "janjansen"}}, {Category: []string{"Document"}}},
		"type":         {{Type: []string{"jan.jansen"}}, {Type: []string{"document.issued", "jan.jansen"}}, {Type: []string{"document.issued/1"}}},
		"organization": {{Organization: []domain.Organisation{"0123456749"}}},
		"stream":       {{Stream: "document-" + uuid.NewString()}, {Stream: "janjansen-1"}, {Stream: "consent-janjansen"}},
		"":             {{After: "f_________8"}, {After: "__________8"}, {After: contract.LeafToken(int64(before))}, {After: contract.LeafToken(1 << 40)}},
	} {
		for _, p := range wrong {
			err := list(p)
			var refusal *edge.Refusal
			switch {
			case name == "":
				if !errors.Is(err, contract.ErrUnknownPosition) || slugStatus(err) != 400 {
					t.Errorf("%+v: %v", p, err)
				}
			case !errors.As(err, &refusal) || refusal.Status != 400 || len(refusal.Issues) != 1 || refusal.Issues[0].Name != name || refusal.Issues[0].In != contract.IssueLocationQuery:
				t.Errorf("%+v: %v", p, err)
			}
		}
	}
	if after := len(tv.log(t)); after != before {
		t.Errorf("refusals left %d events", after-before)
	}
	for _, p := range []contract.ListEventsParams{
		{}, {After: contract.LeafToken(int64(before - 1))}, {Category: []string{"document", "release"}}, {Type: []string{"document.issued", "consent.granted"}},
		{Stream: string(acting.DocumentStream(paper))}, {Stream: "registry"},
	} {
		if err := list(p); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

// F32: of a stream that the log does not have, a reading through the port for KurrentDB's
// clients leaves the category at most.
func TestF32PortReadingsTellTheLogsOwnNames(t *testing.T) {
	tv := newVault(t)
	paper := tv.household(t, 1)
	for _, stream := range []eventstore.Stream{"consent-janjansen", "janjansen-1", acting.DocumentStream(paper), ""} {
		if err := tv.RecordPortReading(t.Context(), "auditor", stream, eventstore.Position{}); err != nil {
			t.Fatal(err)
		}
	}
	var got [][2]string
	for _, r := range recorded[audit.LogRead](t, tv) {
		got = append(got, [2]string{r.Category, r.Stream})
	}
	want := [][2]string{{"consent", ""}, {"", ""}, {"", string(acting.DocumentStream(paper))}}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("%v", got)
	}
}

// A range of time has the events that were recorded from its beginning on and before its end,
// in the log's order, whatever the size of its pages, and also where two clocks differed; the
// record of the reading says the range.
func TestEventsOfARangeOfTime(t *testing.T) {
	tv := newVault(t)
	for n := 1; n <= 12; n++ {
		tv.household(t, n)
		tv.Clock.Advance(time.Hour)
		if n%4 == 0 { // the next ones are recorded by a process whose clock is late
			tv.Clock.Advance(-time.Hour - 3*time.Minute)
		}
	}
	tv.waitIdle(t)
	all := tv.log(t)
	list := func(p contract.ListEventsParams) (ids []uuid.UUID) {
		t.Helper()
		for {
			answer, err := tv.ListEvents(tv.as(t, officeCaller(domain.RoleAuditor), "listEvents", nil), contract.ListEventsRequestObject{Params: p})
			if err != nil {
				t.Fatal(err)
			}
			page := answer.(contract.ListEvents200JSONResponse)
			for _, e := range page.Items {
				ids = append(ids, e.EventID)
			}
			if p.After = page.NextCursor; p.After == "" {
				return ids
			}
		}
	}
	moments := []time.Time{all[0].Time.Add(-time.Hour), tv.Clock.Now().Add(time.Hour)}
	for _, r := range all {
		moments = append(moments, r.Time, r.Time.Add(time.Microsecond))
	}
	found := 0
	for i, from := range moments {
		for _, until := range []*time.Time{nil, &moments[(7*i+3)%len(moments)], &moments[0], &moments[1]} {
			var want []uuid.UUID
			for _, r := range all {
				if !r.Time.Before(from) && (until == nil || r.Time.Before(*until)) {
					want = append(want, r.ID)
				}
			}
			got := list(contract.ListEventsParams{From: &from, Until: until, PageSize: 7, Category: []string{"registry", "citizen", "document"}})
			if !slices.Equal(got, want) {
				t.Fatalf("from %v until %v: %d events, want %d", from, until, len(got), len(want))
			}
			found += len(got)
		}
	}
	if found == 0 {
		t.Error("no range had an event")
	}
	day := all[0].Time.Truncate(time.Microsecond)
	list(contract.ListEventsParams{From: &day, Until: &moments[1], Role: []contract.ActorRole{contract.ActorRoleIssuer}, Organization: []domain.Organisation{homeAffairs}})
	reads := recorded[audit.LogRead](t, tv)
	if last := reads[len(reads)-1]; last.From == nil || !last.From.Equal(day) || last.Until == nil || last.Role != "issuer" || last.Organisation != string(homeAffairs) {
		t.Errorf("on record is %+v", last)
	}
}

// Events are found by who acted: in which role, and of which organisation.
func TestEventsOfActors(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	list := func(p contract.ListEventsParams) (roles []contract.ActorRole) {
		t.Helper()
		answer, err := tv.ListEvents(tv.as(t, officeCaller(domain.RoleAuditor), "listEvents", nil), contract.ListEventsRequestObject{Params: p})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range answer.(contract.ListEvents200JSONResponse).Items {
			roles = append(roles, e.Actor.Role)
		}
		return slices.Compact(roles)
	}
	for name, p := range map[string]contract.ListEventsParams{
		"role":         {Role: []contract.ActorRole{contract.ActorRoleIssuer}},
		"organization": {Organization: []domain.Organisation{homeAffairs}},
		"both":         {Role: []contract.ActorRole{contract.ActorRoleIssuer, contract.ActorRoleConsumer}, Organization: []domain.Organisation{homeAffairs}},
	} {
		if got := list(p); !slices.Equal(got, []contract.ActorRole{contract.ActorRoleIssuer}) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := list(contract.ListEventsParams{Role: []contract.ActorRole{contract.ActorRoleConsumer}, Organization: []domain.Organisation{homeAffairs}}); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
