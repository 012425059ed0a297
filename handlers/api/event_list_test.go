package api

import (
	"errors"
	"testing"

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
		"category": {{Category: []string{"janjansen"}}, {Category: []string{"document", "janjansen"}}, {Category: []string{"Document"}}},
		"type":     {{Type: []string{"jan.jansen"}}, {Type: []string{"document.issued", "jan.jansen"}}, {Type: []string{"document.issued/1"}}},
		"stream":   {{Stream: "document-" + uuid.NewString()}, {Stream: "janjansen-1"}, {Stream: "consent-janjansen"}},
		"":         {{After: "f_________8"}, {After: "__________8"}, {After: contract.LeafToken(int64(before))}, {After: contract.LeafToken(1 << 40)}},
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
