package wallet_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/mandate"
	"coffre/eventstore"
	"coffre/projections"
	"coffre/projections/projectiontest"
	"coffre/projections/wallet"
)

// naive is what a wallet must show at a leaf, folded the slow and obvious way.
type naive struct {
	documents []*wallet.Document
	mandates  []*wallet.Mandate
	readers   []*wallet.Reader
	uses      map[domain.ConsentID]int
	dead      map[domain.CitizenID]bool
	over      map[domain.MandateID]bool // by a death that was corrected since
}

func fold(all []projectiontest.Recorded, upTo int64) *naive {
	n := &naive{uses: map[domain.ConsentID]int{}, dead: map[domain.CitizenID]bool{}, over: map[domain.MandateID]bool{}}
	of := func(id domain.DocumentID) *wallet.Document {
		for _, d := range n.documents {
			if d.Document == id {
				return d
			}
		}
		return nil
	}
	for _, e := range all {
		if e.Leaf > upTo {
			// Only erasures reach back.
			if f, ok := e.Data.(document.ContentDestroyed); ok && of(f.Document) != nil {
				of(f.Document).Destroyed, of(f.Document).Sealed = true, nil
			}
			continue
		}
		switch f := e.Data.(type) {
		case document.Issued:
			n.documents = append(n.documents, &wallet.Document{
				Document: f.Document, Citizen: f.Citizen, Type: f.Type, Issuer: f.Issuer, Version: 1, State: wallet.Active,
				ValidFrom: f.ValidFrom, ValidUntil: f.ValidUntil, PersonalValidity: f.PersonalValidity,
				IssuedAt: f.At, ChangedAt: f.At, IssuedLeaf: e.Leaf, Place: e.PlaceInRow(), Sealed: e.Keep(),
			})
		case document.Updated:
			if d := of(f.Document); d != nil {
				d.Version, d.Reason, d.ValidFrom, d.ValidUntil, d.EffectiveFrom = f.Version, f.Reason, f.ValidFrom, f.ValidUntil, f.EffectiveFrom
				d.ChangedAt, d.Place, d.Sealed = f.At, e.PlaceInRow(), e.Keep()
			}
		case document.Revoked:
			if d := of(f.Document); d != nil && (d.State != wallet.Revoked || f.EffectiveFrom < d.RevokedFrom) {
				d.State, d.Reason, d.RevokedFrom, d.ChangedAt = wallet.Revoked, f.Reason, f.EffectiveFrom, f.At
			}
		case document.Suspended:
			if d := of(f.Document); d != nil && d.State != wallet.Revoked {
				d.State, d.Reason, d.ChangedAt = wallet.Suspended, f.Reason, f.At
			}
		case document.Reinstated:
			if d := of(f.Document); d != nil && d.State != wallet.Revoked {
				d.State, d.Reason, d.ChangedAt = wallet.Active, f.Reason, f.At
			}
		case document.ContentDestroyed:
			if d := of(f.Document); d != nil {
				d.Destroyed, d.Sealed = true, nil
			}
		case mandate.Granted:
			n.mandates = append(n.mandates, &wallet.Mandate{
				Mandate: f.Mandate, Citizen: f.Citizen, Representative: f.Representative, Scope: f.Scope,
				GrantedLeaf: e.Leaf, AcceptedLeaf: projections.Latest, EndedLeaf: projections.Latest, Sealed: e.Keep(), Place: e.PlaceInRow(),
			})
		case mandate.Accepted:
			for _, m := range n.mandates {
				if m.Mandate == f.Mandate {
					m.AcceptedLeaf = e.Leaf
				}
			}
		case mandate.Ended:
			for _, m := range n.mandates {
				if m.Mandate == f.Mandate {
					m.EndedLeaf = e.Leaf
				}
			}
		case consent.Granted:
			n.readers = append(n.readers, &wallet.Reader{Consent: f.Consent, Citizen: f.Citizen, Terms: f.Terms, GrantedAt: f.At, GrantedLeaf: e.Leaf})
		case consent.Withdrawn:
			n.end(f.Consent)
		case access.Authorized:
			if f.Attempt == 1 {
				n.uses[f.Consent]++
			}
			for _, r := range n.readers {
				if limit := r.Terms.Limits.Uses; r.Consent == f.Consent && limit > 0 && n.uses[f.Consent] >= limit {
					n.end(f.Consent)
					break
				}
			}
		case citizen.Deceased:
			n.dead[f.Citizen] = true
		case citizen.DeathCorrected: // what the death ended stays ended
			n.dead[f.Citizen] = false
			n.readers = slices.DeleteFunc(n.readers, func(r *wallet.Reader) bool { return r.Citizen == f.Citizen })
			for _, m := range n.mandates {
				n.over[m.Mandate] = n.over[m.Mandate] || m.Citizen == f.Citizen || m.Representative == f.Citizen
			}
		}
	}
	for _, e := range all { // whenever it was, and whatever came after
		if f, ok := e.Data.(citizen.KeyDestroyed); ok {
			n.erase(f.Citizen)
		}
	}
	return n
}

func (n *naive) end(id domain.ConsentID) {
	n.readers = slices.DeleteFunc(n.readers, func(r *wallet.Reader) bool { return r.Consent == id })
}

func (n *naive) erase(id domain.CitizenID) {
	n.documents = slices.DeleteFunc(n.documents, func(d *wallet.Document) bool { return d.Citizen == id })
	n.mandates = slices.DeleteFunc(n.mandates, func(m *wallet.Mandate) bool { return m.Citizen == id || m.Representative == id })
	n.readers = slices.DeleteFunc(n.readers, func(r *wallet.Reader) bool { return r.Citizen == id })
}

// of tells a wallet in text.
func (n *naive) of(holder domain.CitizenID) (lines []string) {
	for _, d := range n.documents {
		if d.Citizen == holder {
			lines = append(lines, line(d, nil))
		}
	}
	for _, m := range n.mandates {
		if m.Representative != holder || m.AcceptedLeaf == projections.Latest || m.EndedLeaf != projections.Latest || n.dead[m.Citizen] || n.dead[m.Representative] || n.over[m.Mandate] {
			continue
		}
		for _, d := range n.documents {
			if d.Citizen == m.Citizen && slices.Contains(m.Scope.Actions, mandate.Read) && (len(m.Scope.Types) == 0 || slices.Contains(m.Scope.Types, d.Type)) {
				lines = append(lines, line(d, m))
			}
		}
	}
	return lines
}

func line(d *wallet.Document, m *wallet.Mandate) string {
	s := fmt.Sprint(d.Document, d.Citizen, d.Type, d.Issuer, d.Version, d.State, d.Reason, d.ValidFrom, d.ValidUntil, d.PersonalValidity,
		d.EffectiveFrom, d.RevokedFrom, d.IssuedAt, d.ChangedAt, d.IssuedLeaf, d.Destroyed, d.Place, d.Sealed)
	if m != nil {
		s += fmt.Sprint(" under ", m.Mandate, m.Scope, m.Place, m.Sealed)
	}
	return s
}

// Live and rebuilt wallets show at every leaf what the naive fold to it shows.
func TestWalletsEqualAFold(t *testing.T) { projectiontest.OnEach(t, walletsEqualAFold) }

func walletsEqualAFold(t *testing.T, place func(testing.TB) string) {
	shown := 0
	for seed := range uint64(4) {
		w := projectiontest.NewWorld()
		story := projectiontest.NewStory(w, 100+seed)
		live := wallet.New()
		dir := place(t)
		r := projectiontest.Start(t, w, dir, live)
		for range 4 { // so that it is fed in several batches
			story.Tell(t, 40)
			r.CaughtUp(t)
		}
		shown += compareAll(t, w, live)
		if err := r.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
		compareAll(t, w, live)
		r.Stop()
	}
	if shown < 300 {
		t.Fatalf("only %d documents were shown: this proves little", shown)
	}
}

func compareAll(t *testing.T, w *projectiontest.World, wallets *wallet.Wallets) (shown int) {
	t.Helper()
	all := w.Recorded()
	citizens := map[domain.CitizenID]bool{}
	for _, e := range all {
		citizens[e.Citizen] = true
	}
	delete(citizens, domain.CitizenID{})
	for leaf := int64(0); leaf < int64(len(all)); leaf += 17 {
		asOf := leaf
		if leaf+17 >= int64(len(all)) {
			leaf, asOf = int64(len(all)), -1
		}
		want := fold(all, leaf)
		for id := range citizens {
			var got []string
			if err := wallets.Of(t.Context(), id, asOf, func(h *wallet.Held) error {
				got = append(got, line(&h.Document, h.Mandate))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if lines := want.of(id); !slices.Equal(got, lines) {
				t.Fatalf("at leaf %d:\n%q\nwant\n%q", asOf, got, lines)
			}
			shown += len(got)
			if paged := inPages(t, wallets, id, asOf, int(leaf%3)+1); !slices.Equal(paged, got) {
				t.Fatalf("at leaf %d, in pages:\n%q\nwant\n%q", asOf, paged, got)
			}

			readers, err := wallets.Readers(t.Context(), id, asOf)
			if err != nil {
				t.Fatal(err)
			}
			var wantReaders []wallet.Reader
			for _, r := range want.readers {
				if r.Citizen == id && !want.dead[id] {
					wantReaders = append(wantReaders, *r)
				}
			}
			if fmt.Sprint(readers) != fmt.Sprint(wantReaders) && len(readers)+len(wantReaders) > 0 {
				t.Fatalf("at leaf %d readers are\n%v, want\n%v", asOf, readers, wantReaders)
			}
			for side, of := range map[string]struct {
				ask func(context.Context, domain.CitizenID, int64) ([]wallet.Mandate, error)
				who func(*wallet.Mandate) domain.CitizenID
			}{
				"represented":    {wallets.MandatesOf, func(m *wallet.Mandate) domain.CitizenID { return m.Citizen }},
				"representative": {wallets.Represents, func(m *wallet.Mandate) domain.CitizenID { return m.Representative }},
			} {
				mandates, err := of.ask(t.Context(), id, asOf)
				if err != nil {
					t.Fatal(err)
				}
				n := 0
				for _, m := range want.mandates {
					if of.who(m) == id {
						if n >= len(mandates) || mandates[n].Mandate != m.Mandate || mandates[n].AcceptedLeaf != m.AcceptedLeaf || mandates[n].EndedLeaf != m.EndedLeaf {
							t.Fatalf("at leaf %d mandate %d of the %s is not %v", asOf, n, side, m)
						}
						n++
					}
				}
				if n != len(mandates) {
					t.Fatalf("at leaf %d the %s has %d mandates, want %d", asOf, side, len(mandates), n)
				}
			}
		}
		for _, issuer := range projectiontest.Issuers {
			var got, lines []string
			for cursor := int64(-1); ; {
				page, err := wallets.IssuedBy(t.Context(), issuer, asOf, wallet.IssuedFilter{}, cursor, 7)
				if err != nil {
					t.Fatal(err)
				}
				for _, one := range page {
					got, cursor = append(got, line(&one.Document, nil)), one.IssuedLeaf
				}
				if len(page) < 7 {
					break
				}
			}
			for _, d := range want.documents {
				if d.Issuer == issuer {
					lines = append(lines, line(d, nil))
				}
			}
			if !slices.Equal(got, lines) {
				t.Fatalf("at leaf %d issued by %s:\n%q\nwant\n%q", asOf, issuer, got, lines)
			}
		}
		for _, d := range want.documents {
			got, ok, err := wallets.Document(t.Context(), d.Document, asOf)
			if err != nil || !ok || line(&got, nil) != line(d, nil) {
				t.Fatalf("at leaf %d: %v %v", asOf, ok, err)
			}
		}
	}
	return shown
}

func TestIssuerGetsTheSourceReferenceBack(t *testing.T) {
	projectiontest.OnEach(t, issuerGetsTheSourceReferenceBack)
}

func issuerGetsTheSourceReferenceBack(t *testing.T, place func(testing.TB) string) {
	w := projectiontest.NewWorld()
	story := projectiontest.NewStory(w, 3)
	story.Tell(t, 60)
	wallets := wallet.New()
	projectiontest.Start(t, w, place(t), wallets).CaughtUp(t)
	checked := 0
	for _, issuer := range projectiontest.Issuers {
		all, err := wallets.IssuedBy(t.Context(), issuer, projections.Latest, wallet.IssuedFilter{State: wallet.Active}, -1, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range all {
			if one.State != wallet.Active {
				t.Fatalf("%s is %s", one.Document.Document, one.State)
			}
			if one.FirstSealed == nil {
				continue
			}
			var p document.IssuedPersonal
			w.Open(t, one.First, one.FirstSealed, &p)
			if p.SourceReference == "" {
				t.Fatal("no source reference")
			}
			checked++
		}
	}
	if checked == 0 {
		t.Fatal("nothing was checked")
	}
}

func june(day int) time.Time { return time.Date(2026, time.June, day, 9, 0, 0, 0, time.UTC) }

func TestInForce(t *testing.T) {
	rows := []wallet.Document{
		{Version: 1, State: wallet.Active},
		{Version: 2, State: wallet.Active, EffectiveFrom: "2026-05-01"},
		{Version: 2, State: wallet.Suspended, EffectiveFrom: "2026-05-01", ChangedAt: june(1)},
		{Version: 2, State: wallet.Active, EffectiveFrom: "2026-05-01", ChangedAt: june(10)},
		{Version: 2, State: wallet.Revoked, EffectiveFrom: "2026-05-01", RevokedFrom: "2026-07-01", ChangedAt: june(20)},
	}
	for _, c := range []struct {
		on      domain.Date
		version int
		state   wallet.DocumentState
	}{
		{"2026-04-30", 1, wallet.Active},
		{"2026-05-01", 2, wallet.Active},
		{"2026-06-01", 2, wallet.Suspended},
		{"2026-06-09", 2, wallet.Suspended},
		{"2026-06-10", 2, wallet.Active},
		{"2026-06-25", 2, wallet.Active},
		{"2026-07-01", 2, wallet.Revoked},
	} {
		in, state, ok, err := wallet.InForce(rows, c.on, domain.DateOf, func(d *wallet.Document) (domain.Date, error) { return d.EffectiveFrom, nil })
		if err != nil || !ok || in.Version != c.version || state != c.state {
			t.Errorf("on %s: version %d %s, want %d %s (%v)", c.on, in.Version, state, c.version, c.state, err)
		}
	}
	if _, _, ok, _ := wallet.InForce(nil, "2026-01-01", domain.DateOf, nil); ok {
		t.Error("no rows, yet something is in force")
	}
}

// A mandate ends to exist with either of its two persons; the documents of the one
// who remains do not.
func TestErasedRepresentativeIsInNobodysWallet(t *testing.T) {
	projectiontest.OnEach(t, erasedRepresentativeIsInNobodysWallet)
}

func erasedRepresentativeIsInNobodysWallet(t *testing.T, place func(testing.TB) string) {
	w := projectiontest.NewWorld()
	story := projectiontest.NewStory(w, 1)
	story.Tell(t, 0)
	child, parent := story.Citizens[0], story.Citizens[1]
	card := story.Issue(t, child)
	id := domain.MandateID{UUID: uuid.New()}
	s := eventstore.Stream("mandate-" + id.String())
	w.Record(t, s, child, mandate.Granted{Mandate: id, Citizen: child, Representative: parent, Kind: mandate.ParentOfMinor,
		Scope: mandate.Scope{Actions: []mandate.Action{mandate.Read}}, Personal: &mandate.GrantedPersonal{Until: "2031-01-01"}})
	accepted := w.Record(t, s, child, mandate.Accepted{Mandate: id})
	wallets := wallet.New()
	r := projectiontest.Start(t, w, place(t), wallets)
	r.CaughtUp(t)
	held := func(who domain.CitizenID, asOf int64) (ids []domain.DocumentID) {
		if err := wallets.Of(t.Context(), who, asOf, func(h *wallet.Held) error {
			if h.Mandate != nil {
				var p mandate.GrantedPersonal
				w.Open(t, h.Mandate.Place, h.Mandate.Sealed, &p)
				if p.Until != "2031-01-01" {
					t.Errorf("the mandate ends on %s", p.Until)
				}
			}
			ids = append(ids, h.Document.Document)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return ids
	}
	if got := held(parent, -1); !slices.Equal(got, []domain.DocumentID{card}) {
		t.Fatal(got)
	}
	if got := held(parent, accepted.Leaf-1); got != nil {
		t.Fatal("shown before the mandate was accepted")
	}
	w.Record(t, eventstore.Stream("citizen-"+parent.String()), parent, citizen.KeyDestroyed{Citizen: parent})
	r.CaughtUp(t)
	for _, stage := range []string{"live", "rebuilt"} {
		if all, err := wallets.MandatesOf(t.Context(), child, -1); err != nil || len(all) != 0 {
			t.Fatal(stage, all, err)
		}
		if got := held(parent, accepted.Leaf); got != nil {
			t.Fatal(stage, "the past still shows it")
		}
		if got := held(child, -1); !slices.Equal(got, []domain.DocumentID{card}) {
			t.Fatal(stage, got)
		}
		if err := r.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// M-1.8: the death of the represented person and that of the representative end a mandate alike, and
// nobody else's does.
func TestTheDeathOfEitherEndsAMandate(t *testing.T) {
	projectiontest.OnEach(t, func(t *testing.T, place func(testing.TB) string) {
		w := projectiontest.NewWorld()
		story := projectiontest.NewStory(w, 1)
		story.Tell(t, 0)
		child, parent, another := story.Citizens[0], story.Citizens[1], story.Citizens[2]
		grant := func(of, to domain.CitizenID) domain.MandateID {
			id := domain.MandateID{UUID: uuid.New()}
			s := eventstore.Stream("mandate-" + id.String())
			w.Record(t, s, of, mandate.Granted{Mandate: id, Citizen: of, Representative: to, Kind: mandate.Representation,
				Scope: mandate.Scope{Actions: []mandate.Action{mandate.Read}}, Personal: &mandate.GrantedPersonal{Until: "2031-01-01"}})
			w.Record(t, s, of, mandate.Accepted{Mandate: id})
			return id
		}
		ofDead, byDead, others := grant(parent, child), grant(child, parent), grant(another, child)
		died := w.Record(t, eventstore.Stream("citizen-"+parent.String()), parent, citizen.Deceased{Citizen: parent, Personal: &citizen.DeceasedPersonal{Date: "2026-02-27"}})
		wallets := wallet.New()
		projectiontest.Start(t, w, place(t), wallets).CaughtUp(t)
		for id, ends := range map[domain.MandateID]bool{ofDead: true, byDead: true, others: false} {
			m, known, err := wallets.Mandate(t.Context(), id)
			if err != nil || !known || m.StandsAt(projections.Latest) == ends || !m.StandsAt(died.Leaf-1) {
				t.Errorf("of %s by %s: %v %v, death at %d, died at %d", m.Citizen, m.Representative, known, err, m.DeathLeaf, died.Leaf)
			}
		}
	})
}

// P-7: the lives of a person are those of the merges known at a leaf, the survivor first, from
// whichever of them one asks; a merge that was undone, and an erased life, count no more.
func TestLivesOfAPerson(t *testing.T) { projectiontest.OnEach(t, livesOfAPerson) }

func livesOfAPerson(t *testing.T, place func(testing.TB) string) {
	w := projectiontest.NewWorld()
	story, another := projectiontest.NewStory(w, 4), projectiontest.NewStory(w, 5)
	story.Tell(t, 0)
	another.Tell(t, 0)
	a, b, c, d := story.Citizens[0], story.Citizens[1], story.Citizens[2], another.Citizens[0]
	merge := func(former, survivor domain.CitizenID) int64 {
		return w.Record(t, eventstore.Stream("citizen-"+former.String()), former, citizen.MergedInto{Citizen: former, Survivor: survivor}).Leaf
	}
	first := merge(a, b)
	merge(d, b)
	last := merge(b, c)
	wallets := wallet.New()
	r := projectiontest.Start(t, w, place(t), wallets)
	r.CaughtUp(t)
	want := func(stage string, asOf int64, person ...domain.CitizenID) {
		t.Helper()
		for _, id := range person {
			if got, err := wallets.Lives(t.Context(), id, asOf); err != nil || !slices.Equal(got, person) {
				t.Errorf("%s, asked for %s: %v %v, want %v", stage, id, got, err, person)
			}
		}
	}
	for _, stage := range []string{"live", "rebuilt"} {
		want(stage+", all merged", last, c, b, a, d)
		want(stage+", two merged", first, b, a)
		want(stage+", none merged", first-1, a)
		want(stage+", none merged", first-1, b)
		if err := r.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.Record(t, eventstore.Stream("citizen-"+d.String()), d, citizen.Separated{Citizen: d, Survivor: b})
	r.CaughtUp(t)
	want("one separated", projections.Latest, c, b, a)
	want("one separated", projections.Latest, d)
	want("before", last, c, b, a, d)
	w.Record(t, eventstore.Stream("citizen-"+a.String()), a, citizen.KeyDestroyed{Citizen: a})
	r.CaughtUp(t)
	for _, stage := range []string{"live", "rebuilt"} {
		want(stage+", one erased", projections.Latest, c, b)
		want(stage+", one erased", last, c, b, d)
		if err := r.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// inPages returns the lines of a wallet that is read so many documents at a time, each time from
// behind the last.
func inPages(t *testing.T, wallets *wallet.Wallets, id domain.CitizenID, asOf int64, size int) (lines []string) {
	t.Helper()
	for after := wallet.Start; ; {
		n := 0
		if err := wallets.From(t.Context(), id, asOf, after, size, func(held iter.Seq[*wallet.Held]) (bool, error) {
			for h := range held {
				if n == size {
					return false, nil
				}
				n++
				lines, after = append(lines, line(&h.Document, h.Mandate)), h.Rank()
			}
			return true, nil
		}); err != nil {
			t.Fatal(err)
		}
		if n < size {
			return lines
		}
	}
}
