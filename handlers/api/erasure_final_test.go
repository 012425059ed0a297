package api

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/citizen"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
	"coffre/handlers/certificate"
	"coffre/handlers/contract"
	"coffre/handlers/contract/wire"
	"coffre/handlers/edge"
)

var statedRetentions = &citizen.Retentions{Backups: 30, Archives: 7, Snapshots: 14}

// trimKeys makes another version of the key-encryption key, wraps everything by it and
// destroys the versions before it; the ring finds that at the clock's time.
func (tv *testVault) trimKeys(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	latest, err := tv.Keeper.Rotate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tv.Settings.Work.Rotator.RewrapAll(ctx, nil), tv.Keeper.SetMinDecryption(ctx, latest), tv.Keeper.Trim(ctx, latest)); err != nil {
		t.Fatal(err)
	}
	rotations := ringtest.Table(t, tv.KeysDB, "rotations")
	if _, err := keysdb.Do(ctx, tv.KeysDB, func(tx *keysdb.Tx) (struct{}, error) {
		return struct{}{}, tx.Insert(rotations, latest-1, 0, 0, 0, tv.Clock.Now().UnixMicro())
	}); err != nil {
		t.Fatal(err)
	}
}

// finaliseAfter moves the clock and finalises the erasures that are due by then.
func (tv *testVault) finaliseAfter(t testing.TB, d time.Duration) {
	t.Helper()
	tv.Clock.Advance(d)
	if err := tv.FinaliseErasures(t.Context()); err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
}

const aDay = 24 * time.Hour

// E-3: the second certificate comes only after the trim and after every stated
// retention, and names them; until then the first one says after which day, once
// that is known.
func TestErasureBecomesFinal(t *testing.T) {
	for _, scope := range []contract.ErasureScope{contract.ErasureScopeCitizen, contract.ErasureScopeDocument} {
		t.Run(string(scope), func(t *testing.T) {
			tv := newVault(t)
			tv.restart(func(s *settings) { s.Work.Retentions = statedRetentions })
			doc := tv.household(t, 1)
			ana := tv.person(t, 1)
			one := domain.DocumentID{}
			if scope == contract.ErasureScopeDocument {
				one = doc
			}
			// The ring has the system's clock; the vault's begins where the ring's is.
			tv.Clock.Advance(time.Since(tv.Clock.Now()))
			id := tv.erase(t, ana, one)
			tv.waitIdle(t)
			destroyed := domain.BelgianDate(tv.Clock.Now())
			provisional := func(when string, after domain.Date) {
				t.Helper()
				c, served := tv.certificateOf(t, id)
				if c.State != contract.ErasureStateKeysDestroyed || c.FinalAfter != after || len(c.Copies) != 0 || !c.FinalAt.IsZero() || c.Remains[len(c.Remains)-1].Until != after {
					t.Errorf("E-3 %s: %s, final after %q, want %q", when, c.State, c.FinalAfter, after)
				}
				verifiesOffline(t, tv, c, served)
				if state := tv.erasureState(t, id); state != contract.ErasureStateKeysDestroyed {
					t.Errorf("E-3 %s: it is %s", when, state)
				}
			}
			provisional("at once", "")
			tv.finaliseAfter(t, 100*aDay)
			provisional("without a trim, however late", "")
			tv.trimKeys(t)
			trimmed := domain.BelgianDate(tv.Clock.Now())
			tv.finaliseAfter(t, 0)
			provisional("right after the trim", trimmed.AddDays(statedRetentions.Snapshots))
			tv.finaliseAfter(t, 14*aDay)
			provisional("on the last day of a snapshot", trimmed.AddDays(statedRetentions.Snapshots))
			tv.finaliseAfter(t, aDay)

			c, served := tv.certificateOf(t, id)
			want := []contract.CopiesGone{
				{Kind: contract.CopyKindBackups, Days: 30, Until: destroyed.AddDays(30)},
				{Kind: contract.CopyKindArchives, Days: 7, Until: destroyed.AddDays(7)},
				{Kind: contract.CopyKindSnapshots, Days: 14, Until: trimmed.AddDays(14)},
			}
			if c.State != contract.ErasureStateFinal || !slices.Equal(c.Copies, want) || c.Trimmed.WrappedBy != 1 || c.Trimmed.OldestVersion != 2 ||
				domain.BelgianDate(c.Trimmed.TrimmedAt) != trimmed || c.FinalAt.IsZero() || c.FinalAfter != want[2].Until {
				t.Fatalf("E-3 %+v", c)
			}
			for _, r := range c.Remains {
				if strings.Contains(r.What, "copies of the key") {
					t.Error("E-3 a final certificate speaks of copies that are kept")
				}
			}
			verifiesOffline(t, tv, c, served)
			if state := tv.erasureState(t, id); state != contract.ErasureStateFinal {
				t.Errorf("E-3 it is %s", state)
			}
			// Once, for ever, and whatever is stated later.
			tv.restart(func(s *settings) { s.Work.Retentions = &citizen.Retentions{Backups: 3000} })
			tv.waitIdle(t)
			tv.finaliseAfter(t, aDay)
			if _, again := tv.certificateOf(t, id); !bytes.Equal(again, served) {
				t.Error("E-3 a final certificate changed")
			}
			if n := len(recorded[citizen.ErasureFinalised](t, tv)); n != 1 {
				t.Errorf("E-3 final %d times", n)
			}
		})
	}
}

// E-3: where no retentions are stated nothing is ever called final.
func TestErasureIsNotFinalWithoutStatedRetentions(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	id := tv.erase(t, tv.person(t, 1), domain.DocumentID{})
	tv.waitIdle(t)
	tv.trimKeys(t)
	tv.finaliseAfter(t, 10_000*aDay)
	if c, _ := tv.certificateOf(t, id); c.State != contract.ErasureStateKeysDestroyed || c.FinalAfter != "" {
		t.Errorf("E-3 %s after %s", c.State, c.FinalAfter)
	}
}

// E-2: without a destroyer nothing is approved, destroyed or certified, and all of
// it goes on when there is one.
func TestErasureNeedsADestroyer(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	ana := tv.person(t, 1)
	destroyer := tv.Settings.Work.CertificateSigner
	tv.restart(func(s *settings) { s.Work.CertificateSigner = nil })
	id, err := tv.requestErasureOf(t, citizenCaller(ana), ana, domain.DocumentID{}) // needs nobody
	if err != nil {
		t.Fatal(err)
	}
	if slug := problemOf(tv.approve(t, officer, id)); slug != "destroyerMissing" {
		t.Errorf("E-2 approved without a destroyer: %q", slug)
	}
	tv.restart(func(s *settings) { s.Work.CertificateSigner = destroyer })
	if err := tv.approve(t, officer, id); err != nil {
		t.Fatal(err)
	}
	tv.waitIdle(t)
	tv.restart(func(s *settings) { s.Work.CertificateSigner = nil })
	if _, err := tv.GetErasureCertificate(tv.as(t, officer, "getErasureCertificate", nil), contract.GetErasureCertificateRequestObject{ErasureID: id}); problemOf(err) != "destroyerMissing" {
		t.Errorf("E-2 certified without a destroyer: %v", err)
	}
}

// E-2: an approved erasure waits for a start with a destroyer.
func TestApprovedErasureWaitsForADestroyer(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	ana := tv.person(t, 1)
	id, err := tv.requestErasureOf(t, citizenCaller(ana), ana, domain.DocumentID{})
	if err != nil {
		t.Fatal(err)
	}
	tv.stop()
	if err := tv.approve(t, officer, id); err != nil {
		t.Fatal(err)
	}
	destroyer := tv.Settings.Work.CertificateSigner
	tv.restart(func(s *settings) { s.Work.CertificateSigner = nil })
	tv.waitIdle(t)
	if state := tv.erasureState(t, id); state != contract.ErasureStateApproved {
		t.Errorf("E-2 it is %s", state)
	}
	tv.restart(func(s *settings) { s.Work.CertificateSigner = destroyer })
	tv.waitIdle(t)
	if state := tv.erasureState(t, id); state != contract.ErasureStateKeysDestroyed {
		t.Errorf("E-2 it is %s", state)
	}
}

// Certificates verify with the signing keys that are served, also after a change of key; only
// keys in use are marked current.
func TestSigningKeysAreServed(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	id := tv.erase(t, tv.person(t, 1), domain.DocumentID{})
	tv.waitIdle(t)
	_, served := tv.certificateOf(t, id)
	former := tv.Settings.Work.CertificateSigner
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tv.restart(func(s *settings) { s.Work.CertificateSigner = otherSigner{former, private} })
	tv.waitIdle(t)
	keys := func() []contract.SigningKey {
		t.Helper()
		answer, err := tv.GetSigningKeys(tv.as(t, edge.Caller{}, "getSigningKeys", nil), contract.GetSigningKeysRequestObject{})
		if err != nil {
			t.Fatal(err)
		}
		return answer.(contract.GetSigningKeys200JSONResponse).Keys
	}
	all := keys()
	if len(all) == 3 && all[0].Current { // of one purpose by the clock, which may be set back
		all[0], all[1] = all[1], all[0]
	}
	if len(all) != 3 || all[0].Purpose != contract.SigningPurposeErasure || all[0].Current || !all[1].Current || all[2].Purpose != contract.SigningPurposeLog || !all[2].Current {
		t.Fatalf("%+v", all)
	}
	name, err := certificate.SigningKeyOf(served)
	if err != nil || name != all[0].SigningKeyID {
		t.Fatal(name, err)
	}
	if _, err := certificate.Read(served, all[0].PublicKey); err != nil {
		t.Errorf("E-3 after the signing key changed: %v", err)
	}
	if _, err := certificate.Read(served, all[1].PublicKey); !errors.Is(err, certificate.ErrSignature) {
		t.Errorf("E-3 under another key: %v", err)
	}
	tv.restart(func(s *settings) {
		s.Work.CertificateSigner, s.Work.LogSigner = unreachableSigner{}, unreachableSigner{}
	})
	for _, k := range keys() {
		if k.Current {
			t.Error("current, and its keeper is away")
		}
	}
}

// otherSigner is a signer with a key of its own.
type otherSigner struct {
	seal.Signer
	private ed25519.PrivateKey
}

func (a otherSigner) Sign(_ context.Context, message []byte) ([]byte, string, error) {
	return ed25519.Sign(a.private, message), "another", nil
}

func (a otherSigner) PublicKey(context.Context, string) (ed25519.PublicKey, string, error) {
	return a.private.Public().(ed25519.PublicKey), "another", nil
}

// unreachableSigner is a signer that cannot be reached.
type unreachableSigner struct{}

func (unreachableSigner) Sign(context.Context, []byte) ([]byte, string, error) {
	return nil, "", eventstore.ErrKeysUnavailable
}

func (unreachableSigner) PublicKey(context.Context, string) (ed25519.PublicKey, string, error) {
	return nil, "", eventstore.ErrKeysUnavailable
}

// E-3: a signed certificate that lacks a statement, or contradicts itself, does not verify.
func TestIncompleteCertificateIsRefused(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	person := func(subject string, role contract.ActorRole) contract.EventActor {
		return contract.EventActor{Role: role, Subject: subject}
	}
	whole := func() contract.ErasureCertificate {
		return contract.ErasureCertificate{
			ErasureID: domain.ErasureID{UUID: uuid.UUID{1}}, CitizenID: domain.CitizenID{UUID: uuid.UUID{2}}, Scope: contract.ErasureScopeCitizen,
			State: contract.ErasureStateFinal, Keys: []string{"k"}, UnreadableEvents: 1, Digest: make([]byte, 32),
			Record: contract.LeafReference{Leaf: 4, LeafHash: make([]byte, 32)}, DestroyedAt: noon,
			Approvers: []contract.EventActor{person("one", contract.ActorRoleCitizen), person("two", contract.ActorRolePrivacyOfficer)},
			Remains:   []contract.RemainingFact{{What: "w", Why: "y"}}, FinalAfter: "2026-07-15", FinalAt: noon.AddDate(0, 0, 31), SigningKey: "k",
			Trimmed: contract.TrimmedKeys{WrappedBy: 1, OldestVersion: 2, TrimmedAt: noon},
			Copies: []contract.CopiesGone{
				{Kind: contract.CopyKindBackups, Days: 30, Until: "2026-07-15"}, {Kind: contract.CopyKindArchives, Days: 0, Until: "2026-06-15"}, {Kind: contract.CopyKindSnapshots, Days: 1, Until: "2026-06-16"},
			},
		}
	}
	read := func(c contract.ErasureCertificate) error {
		message, err := certificate.SignedForm(c)
		if err != nil {
			t.Fatal(err)
		}
		c.Signature = ed25519.Sign(private, message)
		var served bytes.Buffer
		if err := wire.NewEncoder(&served).Encode(c); err != nil {
			t.Fatal(err)
		}
		_, err = certificate.Read(served.Bytes(), public)
		return err
	}
	if err := read(whole()); err != nil {
		t.Fatal(err)
	}
	first := func(c *contract.ErasureCertificate) {
		c.State, c.FinalAt, c.FinalAfter, c.Copies, c.Trimmed = contract.ErasureStateKeysDestroyed, time.Time{}, "", nil, contract.TrimmedKeys{}
	}
	c := whole()
	if first(&c); read(c) != nil {
		t.Fatal("E-3 the first certificate")
	}
	for name, spoil := range map[string]func(*contract.ErasureCertificate){
		"no erasure":                   func(c *contract.ErasureCertificate) { c.ErasureID = domain.ErasureID{} },
		"nobody":                       func(c *contract.ErasureCertificate) { c.CitizenID = domain.CitizenID{} },
		"no scope":                     func(c *contract.ErasureCertificate) { c.Scope = "" },
		"one document, unnamed":        func(c *contract.ErasureCertificate) { c.Scope = contract.ErasureScopeDocument },
		"no digest":                    func(c *contract.ErasureCertificate) { c.Digest = nil },
		"events without keys":          func(c *contract.ErasureCertificate) { c.Keys = nil },
		"no record":                    func(c *contract.ErasureCertificate) { c.Record = contract.LeafReference{} },
		"no time":                      func(c *contract.ErasureCertificate) { c.DestroyedAt = time.Time{} },
		"nothing remains":              func(c *contract.ErasureCertificate) { c.Remains = nil },
		"nobody approved":              func(c *contract.ErasureCertificate) { c.Approvers = c.Approvers[:1] },
		"one person":                   func(c *contract.ErasureCertificate) { c.Approvers[0] = c.Approvers[1] },
		"a citizen approved":           func(c *contract.ErasureCertificate) { c.Approvers[1].Role = contract.ActorRoleCitizen },
		"only started":                 func(c *contract.ErasureCertificate) { c.State = contract.ErasureStateStarted },
		"final, and no trim":           func(c *contract.ErasureCertificate) { c.Trimmed = contract.TrimmedKeys{} },
		"final, and the version there": func(c *contract.ErasureCertificate) { c.Trimmed.OldestVersion = 1 },
		"final, and no snapshots":      func(c *contract.ErasureCertificate) { c.Copies[2].Kind = contract.CopyKindBackups },
		"final, and one kind only":     func(c *contract.ErasureCertificate) { c.Copies = c.Copies[:1] },
		"final too early":              func(c *contract.ErasureCertificate) { c.FinalAt = noon.AddDate(0, 0, 30) },
		"copies kept longer":           func(c *contract.ErasureCertificate) { c.Copies[0].Until = "2026-07-16" },
		"snapshots counted wrongly":    func(c *contract.ErasureCertificate) { c.Copies[2].Days = 2 },
		"not final, with copies":       func(c *contract.ErasureCertificate) { c.State = contract.ErasureStateKeysDestroyed },
	} {
		c := whole()
		spoil(&c)
		if err := read(c); !errors.Is(err, certificate.ErrContent) {
			t.Errorf("E-3 %s: %v", name, err)
		}
	}
	for _, text := range []string{"", "null", "[]", `{"signature":1}`, `{"a":1,"a":2}`, `{} {}`} {
		if _, err := certificate.Read([]byte(text), public); !errors.Is(err, certificate.ErrForm) && !errors.Is(err, certificate.ErrSignature) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// E-3: against another log, or one that was changed or cut, a certificate does not hold.
func TestCertificateAgainstTheLog(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	tv.household(t, 2)
	tv.waitIdle(t)
	id := tv.erase(t, tv.person(t, 1), domain.DocumentID{})
	tv.waitIdle(t)
	c, _ := tv.certificateOf(t, id)
	events := tv.events(t)
	mine := slices.IndexFunc(events, func(e contract.LogEvent) bool { return e.Type == "document.issued" })
	record := int(c.Record.Leaf)
	audit := func(all []contract.LogEvent) error {
		a := certificate.NewAudit(c)
		for _, e := range all {
			if err := a.Add(e); err != nil {
				return err
			}
		}
		_, _, err := a.Result()
		return err
	}
	if err := audit(events); err != nil {
		t.Fatal(err)
	}
	change := func(at int, f func(*contract.LogEvent)) []contract.LogEvent {
		all := slices.Clone(events)
		f(&all[at])
		return all
	}
	for name, all := range map[string][]contract.LogEvent{
		"without an event":         slices.Delete(slices.Clone(events), mine, mine+1),
		"without the record":       slices.Delete(slices.Clone(events), record, record+1),
		"cut":                      events[:record],
		"in another order":         change(mine, func(e *contract.LogEvent) { e.Cursor = events[mine+1].Cursor }),
		"an event at another time": change(mine, func(e *contract.LogEvent) { e.RecordedAt = e.RecordedAt.Add(time.Microsecond) }),
		"other facts":              change(mine, func(e *contract.LogEvent) { e.Facts = contract.ClearFacts(`{}`) }),
		"another stream":           change(mine, func(e *contract.LogEvent) { e.Stream += "0" }),
		"other metadata":           change(mine, func(e *contract.LogEvent) { e.MetadataHash = make([]byte, 32) }),
		"no metadata":              change(mine, func(e *contract.LogEvent) { e.MetadataHash = nil }),
		"a changed record":         change(record, func(e *contract.LogEvent) { e.Facts = contract.ClearFacts(`{}`) }),
		"another ciphertext":       change(mine, func(e *contract.LogEvent) { e.Sealed = append(slices.Clone(e.Sealed), 0) }),
		"a cursor that is none":    change(mine, func(e *contract.LogEvent) { e.Cursor = "x" }),
		"a record of another kind": change(record, func(e *contract.LogEvent) { e.Type = "citizen.erasure-started" }),
		"nothing":                  nil,
	} {
		if err := audit(all); !errors.Is(err, certificate.ErrLog) {
			t.Errorf("E-3 %s: %v", name, err)
		}
	}
}

// Documents whose retention has ended are listed with ids, types, rules and clear days, page
// by page, and none of them is erased; personal dates are judged and not told.
func TestDueErasures(t *testing.T) {
	tv := newVault(t, func(r *registry.Registry) {
		for i := range r.DocumentTypes {
			if d := &r.DocumentTypes[i]; d.Name == "isiPlusCard" {
				d.Retention.Years = 1
			}
		}
	})
	tv.childCard(t, 3) // until the end of 2028, which is personal
	first, second := tv.household(t, 1), tv.household(t, 2)
	tv.diploma(t, 1)
	gone := tv.household(t, 4)
	tv.placeHold(t, tv.person(t, 2))
	list := func(size int32) (all []contract.DueErasure) {
		t.Helper()
		for p := (contract.ListDueErasuresParams{PageSize: size}); ; {
			answer, err := tv.ListDueErasures(tv.as(t, operator, "listDueErasures", nil), contract.ListDueErasuresRequestObject{Params: p})
			if err != nil {
				t.Fatal(err)
			}
			page := contract.DueErasures(answer.(contract.ListDueErasures200JSONResponse))
			if len(page.Items) > int(size) {
				t.Fatalf("%d on a page of %d", len(page.Items), size)
			}
			all = append(all, page.Items...)
			if page.Next == "" {
				return all
			}
			p.After = page.Next[strings.Index(page.Next, "after=")+len("after="):]
			p.After, _, _ = strings.Cut(p.After, "&")
		}
	}
	if due := list(50); len(due) != 0 {
		t.Fatalf("due today: %+v", due)
	}
	tv.erase(t, tv.person(t, 4), gone)
	tv.waitIdle(t)
	tv.Clock.Advance(5*365*aDay + 2*aDay) // household compositions are kept for five years from issue
	due := list(1)
	if len(due) != 3 {
		t.Fatalf("%+v", due)
	}
	card, one, held := due[0], due[1], due[2]
	if card.DocumentType != "isiPlusCard" || card.Since != "" || card.Rule != "socialSecurity" || card.Then != contract.RetentionEndDestroy {
		t.Errorf("%+v", card)
	}
	if one.DocumentID != first || one.Since != "2031-06-15" || one.Rule != "useOnly" || one.LegalHold || one.CitizenID != tv.person(t, 1) {
		t.Errorf("%+v", one)
	}
	if held.DocumentID != second || !held.LegalHold {
		t.Errorf("%+v", held)
	}
	// The keys of a page come in one call, however many there are.
	for n := range 20 {
		tv.childCard(t, 100+n)
	}
	tv.Clock.Advance(4 * 365 * aDay)
	for n := range 20 {
		tv.Keys.Forget(tv.person(t, 100+n))
	}
	before := tv.Keeper.Calls("Unwrap")
	if due := list(200); len(due) != 23 {
		t.Errorf("%d are due", len(due))
	}
	if calls := tv.Keeper.Calls("Unwrap") - before; calls > 2 {
		t.Errorf("%d calls for one page", calls)
	}
	tv.Keys.Forget(tv.person(t, 100))
	tv.Keeper.Before(func(string) error { return eventstore.ErrKeysUnavailable })
	defer tv.Keeper.Before(nil)
	if _, err := tv.ListDueErasures(tv.as(t, operator, "listDueErasures", nil), contract.ListDueErasuresRequestObject{}); problemOf(err) != "keysUnavailable" {
		t.Errorf("judged without keys: %v", err)
	}
}
