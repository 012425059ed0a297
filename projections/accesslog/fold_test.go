package accesslog_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/audit"
	"coffre/domain/citizen"
	"coffre/domain/investigation"
	"coffre/eventstore"
	"coffre/projections"
	"coffre/projections/accesslog"
	"coffre/projections/projectiontest"
)

// fold tells a citizen's entries at a leaf that no investigation hides at a moment, newest first,
// the slow and obvious way.
func fold(all []projectiontest.Recorded, who domain.CitizenID, upTo int64, now time.Time) []accesslog.Entry {
	under := map[domain.InvestigationID]investigation.State{}
	for _, e := range all {
		if f, ok := e.Data.(investigation.Event); ok && e.Leaf <= upTo {
			id := domain.InvestigationID{UUID: uuid.MustParse(strings.TrimPrefix(string(e.Stream), "investigation-"))}
			under[id] = investigation.Evolve(under[id], f)
		}
	}
	entries := foldWithHidden(all, who, upTo)
	for i := range entries {
		e := &entries[i]
		if s, ok := under[e.Investigation]; ok {
			if e.HiddenFor, e.HiddenUntil = s.Reason, s.Until; !s.LiftedAt.IsZero() {
				e.HiddenUntil = s.LiftedAt
			}
		}
	}
	return slices.DeleteFunc(entries, func(e accesslog.Entry) bool { return !e.Investigation.IsZero() && now.Before(e.HiddenUntil) })
}

// foldWithHidden does the same with what is hidden.
func foldWithHidden(all []projectiontest.Recorded, who domain.CitizenID, upTo int64) []accesslog.Entry {
	entries := []accesslog.Entry{}
	erased := false
	why := map[domain.AccessID]domain.ReasonCode{} // who looked the citizen up said so
	for _, e := range all {
		if f, ok := e.Data.(citizen.KeyDestroyed); ok && f.Citizen == who {
			erased = true
		}
		if e.Leaf > upTo {
			continue
		}
		switch f := e.Data.(type) {
		case access.Authorized:
			if f.Citizen == who {
				entries = append(entries, accesslog.Entry{
					Leaf: e.Leaf, Citizen: who, At: f.At, Kind: f.Kind, Outcome: accesslog.MayHaveBeenDisclosed, Count: 1, Access: f.Access, Attempt: f.Attempt,
					Role: f.Role, Consumer: f.Consumer, OnBehalfOf: call(e).OnBehalfOf, Operation: made(e).Operation, Token: made(e).Token, Client: made(e).Client, Reader: f.Reader, Mandate: f.Mandate, Document: f.Document, Version: f.Version, Type: f.Type,
					Purpose: f.Purpose, Procedure: f.Procedure, Consent: f.Consent, LegalBasis: f.LegalBasis, Deliberation: f.Deliberation,
					Fields: f.Fields, Predicate: f.Predicate, Investigation: f.Investigation, Place: e.PlaceInRow(), Sealed: e.Keep(),
				})
			}
		case access.Told:
			if f.Citizen == who {
				entries = append(entries, accesslog.Entry{
					Leaf: e.Leaf, Citizen: who, At: f.At, Kind: access.OpenedPresence, Outcome: accesslog.MayHaveBeenDisclosed, Count: 1, Access: f.Access, Attempt: 1,
					Role: domain.RoleConsumer, Consumer: f.Consumer, Purpose: f.Purpose, Procedure: f.Procedure,
					Consent: f.Consent, LegalBasis: f.LegalBasis, Deliberation: f.Deliberation, Answers: f.Answers, Investigation: f.Investigation, Place: e.PlaceInRow(), Sealed: e.Keep(),
				})
			}
		case access.Named:
			if f.Citizen == who {
				why[f.Access] = f.Reason
				entries = append(entries, accesslog.Entry{
					Leaf: e.Leaf, Citizen: who, At: f.At, Kind: access.OpenedLookup, Outcome: accesslog.MayHaveBeenDisclosed, Count: 1, Access: f.Access, Attempt: 1,
					Role: f.Role, Consumer: f.Organisation, Purpose: f.Purpose, Procedure: f.Procedure, Reason: f.Reason, Place: e.PlaceInRow(), Sealed: e.Keep(),
				})
			}
		case access.Disclosed:
			for i := range entries {
				x := &entries[i]
				if x.Access == f.Access && x.Attempt == f.Attempt && (x.OutcomeAt.IsZero() || x.Outcome != accesslog.Disclosed && f.Outcome == access.Delivered) {
					x.Outcome, x.Reason, x.OutcomeAt = accesslog.Outcome(f.Outcome), f.Reason, f.At
					if f.Reason == "" {
						x.Reason = why[f.Access]
					}
				}
			}
		case access.Refused:
			if f.Citizen == who {
				entries = append(entries, accesslog.Entry{
					Leaf: e.Leaf, Citizen: who, At: f.At, Kind: accesslog.Refusal, Outcome: accesslog.Refused, Reason: f.Reason, Count: f.Count, Role: domain.RoleConsumer,
					Consumer: f.Consumer, Document: f.Document, Type: f.Type, Purpose: f.Purpose, Procedure: f.Procedure, Investigation: f.Investigation, Place: e.PlaceInRow(),
				})
			}
		}
	}
	if erased {
		for i := range entries {
			entries[i].Sealed = nil
		}
	}
	slices.Reverse(entries)
	return entries
}

// moment returns a moment of a story, or one before or after all of it.
func moment(seed uint64) time.Time {
	begins := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	switch r := rand.New(rand.NewPCG(seed, 3)); r.IntN(4) {
	case 0:
		return begins.Add(-time.Hour)
	case 1:
		return begins.AddDate(1, 0, 0)
	default:
		return begins.Add(time.Duration(r.IntN(20*24)) * time.Hour)
	}
}

// call returns what stands beside an access.
func call(e projectiontest.Recorded) eventstore.Meta {
	meta, err := e.Metadata()
	if err != nil {
		panic(err)
	}
	return meta
}

// made returns what is told of the call of an access; nothing where it was not recorded.
func made(e projectiontest.Recorded) eventstore.Call {
	if c := call(e).Call; c != nil {
		return *c
	}
	return eventstore.Call{}
}

// grouped groups entries, newest first, the slow and obvious way.
func grouped(entries []accesslog.Entry) []accesslog.Group {
	groups, days := []accesslog.Group{}, []map[domain.Date]bool{}
	at := map[string]int{}
	for _, e := range entries {
		g := accesslog.Group{
			List: e.List(), Kind: e.Kind, Outcome: e.Outcome, Reason: e.Reason, Role: e.Role, Consumer: e.Consumer, OnBehalfOf: e.OnBehalfOf, Reader: e.Reader, Mandate: e.Mandate,
			Type: e.Type, Purpose: e.Purpose, Procedure: e.Procedure, Consent: e.Consent, LegalBasis: e.LegalBasis, Deliberation: e.Deliberation, Fields: e.Fields, Predicate: e.Predicate, Investigation: e.Investigation, HiddenUntil: e.HiddenUntil, HiddenFor: e.HiddenFor,
		}
		key := fmt.Sprintf("%+v", g)
		i, known := at[key]
		if !known {
			i, at[key] = len(groups), len(groups)
			g.LastLeaf, g.First, g.Last, g.Weekday = e.Leaf, e.At, e.At, weekday(e.At)
			groups, days = append(groups, g), append(days, map[domain.Date]bool{})
		}
		in := &groups[i]
		in.Count += e.Count
		days[i][domain.BelgianDate(e.At)] = true
		in.Days = len(days[i])
		if e.At.Before(in.First) {
			in.First = e.At
		}
		if e.At.After(in.Last) {
			in.Last = e.At
		}
		if weekday(e.At) != in.Weekday {
			in.Weekday = 0
		}
	}
	return groups
}

// weekday returns the day of the week in Belgium, 1 for Monday to 7.
func weekday(at time.Time) int {
	day, err := time.Parse(time.DateOnly, string(domain.BelgianDate(at)))
	if err != nil {
		panic(err)
	}
	return int(day.Weekday()+6)%7 + 1
}

// compareGroups compares all groups about all citizens, in pages and by list, with the entries.
func compareGroups(t *testing.T, w *projectiontest.World, log *accesslog.Log) {
	t.Helper()
	all := w.Recorded()
	citizens, repeated := map[domain.CitizenID]bool{}, 0
	for _, e := range all {
		citizens[e.Citizen] = true
	}
	delete(citizens, domain.CitizenID{})
	for who := range citizens {
		now := moment(uint64(len(citizens)))
		entries := fold(all, who, int64(len(all)), now)
		for _, list := range append(accesslog.Lists, "") {
			of := slices.DeleteFunc(slices.Clone(entries), func(e accesslog.Entry) bool { return list != "" && e.List() != list })
			want, got := grouped(of), []accesslog.Group{}
			for cursor := int64(-1); ; cursor = got[len(got)-1].LastLeaf {
				page, err := log.Groups(t.Context(), []domain.CitizenID{who}, accesslog.Filter{Now: now, List: list}, cursor, 2)
				if err != nil {
					t.Fatal(err)
				}
				if got = append(got, page...); len(page) < 2 {
					break
				}
			}
			if tell(t, got) != tell(t, want) {
				t.Fatalf("groups of %q:\n%s\nwant\n%s", list, tell(t, got), tell(t, want))
			}
			for _, g := range got {
				if g.Count > 1 && g.List != accesslog.Refusals {
					repeated++
				}
			}
			found, err := log.Of(t.Context(), who, projections.Latest, accesslog.Filter{Now: now, List: list}, -1, 10_000)
			if err != nil || tell(t, found) != tell(t, of) {
				t.Fatalf("list %q:\n%s\nwant\n%s (%v)", list, tell(t, found), tell(t, of), err)
			}
		}
	}
	if repeated == 0 {
		t.Fatal("nothing is repeated: this proves little")
	}
}

// The log is complete about a person since the vault knows them, or since the last loss that
// was accepted after that; about all lives of one person since it knows the first.
func TestCompleteSince(t *testing.T) { projectiontest.OnEach(t, completeSince) }

func completeSince(t *testing.T, place func(testing.TB) string) {
	w, log := projectiontest.NewWorld(), accesslog.New()
	r := projectiontest.Start(t, w, place(t), log)
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ana, former, later := domain.CitizenID{UUID: uuid.UUID{1}}, domain.CitizenID{UUID: uuid.UUID{2}}, domain.CitizenID{UUID: uuid.UUID{3}}
	register := func(id domain.CitizenID, at time.Time) {
		w.Record(t, eventstore.Stream("citizen-"+id.String()), id, citizen.Registered{Citizen: id, At: at})
	}
	register(ana, noon)
	register(former, noon.Add(-time.Hour))
	r.CaughtUp(t)
	since := func(want time.Time, lives ...domain.CitizenID) {
		t.Helper()
		if got, err := log.CompleteSince(t.Context(), lives); err != nil || !got.Equal(want) {
			t.Errorf("%v, want %v (%v)", got, want, err)
		}
	}
	since(noon, ana)
	since(noon.Add(-time.Hour), ana, former)
	since(time.Time{}, later)
	for _, at := range []time.Time{noon.Add(2 * time.Hour), noon.Add(time.Hour)} {
		w.Record(t, "audit-202603", domain.CitizenID{}, audit.LossAccepted{LogEnd: "1", SeenEnd: "2", Witness: audit.KeyRing, Cause: "restore", At: at})
	}
	register(later, noon.Add(3*time.Hour))
	r.CaughtUp(t)
	since(noon.Add(2*time.Hour), ana, former)
	since(noon.Add(3*time.Hour), later)
}

func tell(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLogEqualsAFold(t *testing.T) { projectiontest.OnEach(t, logEqualsAFold) }

func logEqualsAFold(t *testing.T, place func(testing.TB) string) {
	outcomes := map[accesslog.Outcome]int{}
	for seed := range uint64(3) {
		w := projectiontest.NewWorld()
		story := projectiontest.NewStory(w, 300+seed)
		log := accesslog.New()
		r := projectiontest.Start(t, w, place(t), log)
		for range 4 {
			story.Tell(t, 50)
			r.CaughtUp(t)
		}
		compareAll(t, w, log, outcomes)
		compareCounters(t, w, log)
		compareGroups(t, w, log)
		compareExports(t, w, log)
		if err := r.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
		compareAll(t, w, log, outcomes)
		compareCounters(t, w, log)
		compareGroups(t, w, log)
		r.Stop()
	}
	for _, o := range []accesslog.Outcome{accesslog.Disclosed, accesslog.Withheld, accesslog.Failed, accesslog.MayHaveBeenDisclosed, accesslog.Refused} {
		if outcomes[o] < 5 {
			t.Errorf("%s was shown %d times: this proves little", o, outcomes[o])
		}
	}
}

func compareAll(t *testing.T, w *projectiontest.World, log *accesslog.Log, outcomes map[accesslog.Outcome]int) {
	t.Helper()
	all := w.Recorded()
	citizens := map[domain.CitizenID]bool{}
	for _, e := range all {
		citizens[e.Citizen] = true
	}
	delete(citizens, domain.CitizenID{}) // who asked for somebody unknown
	hidden := 0
	defer func() {
		if hidden < 5 {
			t.Errorf("%d entries were hidden: this proves little", hidden)
		}
	}()
	for leaf := int64(0); leaf < int64(len(all)); leaf += 31 {
		for who := range citizens {
			now := moment(uint64(leaf))
			want := fold(all, who, leaf, now)
			hidden += len(foldWithHidden(all, who, leaf)) - len(want)
			got := []accesslog.Entry{}
			for cursor := int64(-1); ; cursor = got[len(got)-1].Leaf {
				page, err := log.Of(t.Context(), who, leaf, accesslog.Filter{Now: now}, cursor, 3)
				if err != nil {
					t.Fatal(err)
				}
				if got = append(got, page...); len(page) < 3 {
					break
				}
			}
			if tell(t, got) != tell(t, want) {
				t.Fatalf("at leaf %d:\n%s\nwant\n%s", leaf, tell(t, got), tell(t, want))
			}
			for _, e := range got {
				outcomes[e.Outcome]++
			}
			if len(want) < 2 {
				continue
			}
			f := accesslog.Filter{Now: now, Consumer: want[0].Consumer, From: new(want[len(want)-1].At.Add(time.Second)), Until: new(want[0].At.Add(time.Second))}
			if !want[0].Document.IsZero() {
				f.Document = &want[0].Document
			}
			for _, nothing := range []accesslog.Filter{{Now: now, Document: new(domain.DocumentID{})}, {Now: now, Until: new(time.Time{})}} {
				if found, err := log.Of(t.Context(), who, leaf, nothing, -1, 1000); err != nil || len(found) > 0 {
					t.Fatalf("F1, F2 a zero value finds %d entries, %v", len(found), err)
				}
			}
			if i := slices.IndexFunc(want, func(e accesslog.Entry) bool { return !e.Consent.IsZero() }); i >= 0 {
				under := slices.DeleteFunc(slices.Clone(want), func(e accesslog.Entry) bool { return e.Consent != want[i].Consent })
				found, err := log.Of(t.Context(), who, leaf, accesslog.Filter{Now: now, Consent: &want[i].Consent}, -1, 1000)
				if err != nil || tell(t, found) != tell(t, under) {
					t.Fatalf("at leaf %d under a consent:\n%s\nwant\n%s (%v)", leaf, tell(t, found), tell(t, under), err)
				}
			}
			kept := slices.DeleteFunc(slices.Clone(want), func(e accesslog.Entry) bool {
				return f.Consumer != "" && e.Consumer != f.Consumer || f.Document != nil && e.Document != *f.Document || e.At.Before(*f.From) || !e.At.Before(*f.Until)
			})
			filtered, err := log.Of(t.Context(), who, leaf, f, -1, 1000)
			if err != nil || tell(t, filtered) != tell(t, kept) {
				t.Fatalf("at leaf %d filtered:\n%s\nwant\n%s (%v)", leaf, tell(t, filtered), tell(t, kept), err)
			}
		}
	}
}

// An export is what a fold of the log tells of everybody, up to any leaf, in its order.
func compareExports(t *testing.T, w *projectiontest.World, log *accesslog.Log) {
	t.Helper()
	all := w.Recorded()
	citizens := map[domain.CitizenID]bool{}
	for _, e := range all {
		citizens[e.Citizen] = true
	}
	delete(citizens, domain.CitizenID{})
	rows := 0
	for leaf := int64(0); leaf < int64(len(all)); leaf += 31 {
		var told []accesslog.Entry
		now := moment(uint64(leaf))
		for who := range citizens {
			told = append(told, fold(all, who, leaf, now)...)
		}
		slices.SortFunc(told, func(a, b accesslog.Entry) int { return cmp.Compare(a.Leaf, b.Leaf) })
		narrowed := []accesslog.Exported{{}, {Refused: true}}
		if len(told) > 3 {
			some := told[len(told)/2]
			narrowed = append(narrowed, accesslog.Exported{Citizens: []domain.CitizenID{some.Citizen}}, accesslog.Exported{Filter: accesslog.Filter{Purpose: some.Purpose}},
				accesslog.Exported{Filter: accesslog.Filter{Consumer: some.Consumer, From: &some.At}, Refused: true},
				accesslog.Exported{Citizens: []domain.CitizenID{told[0].Citizen, some.Citizen}, Filter: accesslog.Filter{Until: &some.At}})
		}
		for _, f := range narrowed {
			f.Now = now
			want := []accesslog.Entry{}
			for _, e := range told {
				if (e.Kind == accesslog.Refusal) == f.Refused && (f.Citizens == nil || slices.Contains(f.Citizens, e.Citizen)) && (f.Purpose == "" || f.Purpose == e.Purpose) &&
					(f.Consumer == "" || f.Consumer == e.Consumer) && (f.From == nil || !e.At.Before(*f.From)) && (f.Until == nil || e.At.Before(*f.Until)) {
					want = append(want, e)
				}
			}
			got := []accesslog.Entry{}
			for e, err := range log.Export(t.Context(), leaf, f) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, e)
			}
			if tell(t, got) != tell(t, want) {
				t.Fatalf("at leaf %d %+v the export:\n%s\nwant\n%s", leaf, f, tell(t, got), tell(t, want))
			}
			rows += len(got)
		}
	}
	if rows < 100 {
		t.Errorf("%d rows were exported: this proves little", rows)
	}
}

func compareCounters(t *testing.T, w *projectiontest.World, log *accesslog.Log) {
	t.Helper()
	type reach struct {
		consumer domain.Organisation
		day      domain.Date
	}
	reached := map[reach]map[domain.CitizenID]bool{}
	spared := map[domain.Organisation]map[domain.Procedure]int{}
	var times []time.Time
	for _, e := range w.Recorded() {
		f, ok := e.Data.(access.Authorized)
		questions := 1
		if told, is := e.Data.(access.Told); is && !told.Citizen.IsZero() {
			f, ok = access.Authorized{Role: domain.RoleConsumer, Consumer: told.Consumer, Citizen: told.Citizen, Procedure: told.Procedure, Attempt: 1, At: told.At}, true
			questions = 0
			for _, a := range told.Answers {
				if a.Presence == access.Held {
					questions++
				}
			}
		}
		if named, is := e.Data.(access.Named); is && !named.Citizen.IsZero() {
			f, ok = access.Authorized{Role: named.Role, Consumer: named.Organisation, Citizen: named.Citizen, At: named.At}, true
		}
		if !ok || f.Role != domain.RoleConsumer {
			continue
		}
		times = append(times, f.At)
		k := reach{f.Consumer, domain.BelgianDate(f.At)}
		if reached[k] == nil {
			reached[k] = map[domain.CitizenID]bool{}
		}
		reached[k][f.Citizen] = true
		if f.Procedure != "" && f.Attempt == 1 {
			if spared[f.Consumer] == nil {
				spared[f.Consumer] = map[domain.Procedure]int{}
			}
			spared[f.Consumer][f.Procedure] += questions
		}
	}
	if len(reached) == 0 || len(spared) == 0 {
		t.Fatal("nothing to count")
	}
	for k, citizens := range reached {
		at := domain.BelgianMidnight(k.day)
		for who := range citizens {
			n, among, err := log.Reach(t.Context(), k.consumer, at.Add(23*time.Hour), who)
			if err != nil || n != len(citizens) || !among {
				t.Fatalf("%d citizens, want %d, among %t: %v", n, len(citizens), among, err)
			}
		}
		if n, among, err := log.Reach(t.Context(), k.consumer, at, domain.CitizenID{UUID: uuid.New()}); err != nil || n != len(citizens) || among {
			t.Fatal(n, among, err)
		}
	}
	total := 0
	got, err := log.Spared(t.Context(), "", slices.MinFunc(times, time.Time.Compare), slices.MaxFunc(times, time.Time.Compare))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range got {
		if spared[s.Consumer][s.Procedure] != s.Questions {
			t.Fatalf("%+v, want %d", s, spared[s.Consumer][s.Procedure])
		}
		total++
	}
	want := 0
	for _, of := range spared {
		want += len(of)
	}
	if total != want {
		t.Fatalf("%d counters, want %d", total, want)
	}
	if none, err := log.Spared(t.Context(), "", time.Unix(0, 0), time.Unix(0, 0)); err != nil || len(none) != 0 {
		t.Fatal(none, err)
	}
	if n, _, err := log.Reach(t.Context(), "0000000097", times[0], domain.CitizenID{}); err != nil || n != 0 {
		t.Fatal(n, err)
	}
}

func TestCaseReferenceOpens(t *testing.T) { projectiontest.OnEach(t, caseReferenceOpens) }

func caseReferenceOpens(t *testing.T, place func(testing.TB) string) {
	w := projectiontest.NewWorld()
	story := projectiontest.NewStory(w, 33)
	story.Tell(t, 80)
	log := accesslog.New()
	projectiontest.Start(t, w, place(t), log).CaughtUp(t)
	opened := 0
	for _, who := range story.Citizens {
		all, err := log.Of(t.Context(), who, projections.Latest, accesslog.Filter{}, projections.Latest, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if e.Sealed != nil {
				var p access.AuthorizedPersonal
				w.Open(t, e.Place, e.Sealed, &p)
				if p.CaseReference == "" {
					t.Fatal("no case reference")
				}
				opened++
			}
		}
	}
	if opened == 0 {
		t.Fatal("nothing was opened")
	}
}
