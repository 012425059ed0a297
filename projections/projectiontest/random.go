package projectiontest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/citizen"
	"coffre/domain/consent"
	"coffre/domain/document"
	"coffre/domain/investigation"
	"coffre/domain/mandate"
	"coffre/eventstore"
)

// Words that random histories draw from.
var (
	Issuers   = []domain.Organisation{"0206731645", "0216380274"}
	Consumers = []domain.Organisation{"0308357753", "0314595348"}
	Types     = []domain.DocumentType{"isiPlusCard", "drivingLicence", "householdComposition"}
	Purposes  = []domain.Purpose{"socialBenefit", "housingAllowance"}
)

// Story makes a history up as it goes: everything that can happen to a few
// citizens, in an order that the rules allow. Not for concurrent use.
type Story struct {
	World    *World
	Random   *rand.Rand
	Now      time.Time
	Citizens []domain.CitizenID // alive to the vault

	documents      []*someDocument
	consents       []*someConsent
	mandates       []*someMandate
	accesses       []access.Authorized
	investigations map[investigation.Grounds]underway

	side         *rand.Rand         // what hangs on the story's facts and leaves their course as it is
	reportedDead []domain.CitizenID // in error, to be corrected
}

type someDocument struct {
	id        domain.DocumentID
	citizen   domain.CitizenID
	version   int
	state     string
	destroyed bool
}

type someConsent struct {
	id      domain.ConsentID
	citizen domain.CitizenID
	terms   consent.Terms
	state   string
	uses    int
}

type someMandate struct {
	id      domain.MandateID
	citizen domain.CitizenID
	state   string
}

// NewStory begins a history in an empty world. The same seed tells the same story.
func NewStory(w *World, seed uint64) *Story {
	return &Story{World: w, Random: rand.New(rand.NewPCG(seed, 1)), side: rand.New(rand.NewPCG(seed, 2)), Now: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)}
}

// Tell lets n things happen, after three citizens were registered.
func (s *Story) Tell(t testing.TB, n int) {
	t.Helper()
	for len(s.Citizens) < 3 {
		s.register(t)
	}
	for range n {
		s.Now = s.Now.Add(time.Duration(1+s.Random.IntN(200)) * time.Minute)
		s.step(t)
	}
}

func (s *Story) step(t testing.TB) {
	if len(s.reportedDead) > 0 && s.side.IntN(4) == 0 {
		id := s.reportedDead[0]
		s.reportedDead = s.reportedDead[1:]
		s.World.Record(t, stream("citizen", id.UUID), id, citizen.DeathCorrected{Citizen: id, Correction: domain.CorrectionID{UUID: uuid.NewSHA1(id.UUID, []byte(s.Now.String()))}, At: s.Now})
	}
	switch dice := s.Random.IntN(100); {
	case dice < 4:
		s.register(t)
	case dice < 20:
		s.Issue(t, s.someone())
	case dice < 40:
		s.touch(t)
	case dice < 54:
		s.consent(t)
	case dice < 60:
		s.withdraw(t)
	case dice < 80:
		s.access(t)
	case dice < 84:
		s.refuse(t)
	case dice < 94:
		s.mandate(t)
	case dice < 96:
		if d := pick(s.Random, s.documents); d != nil && !d.destroyed {
			d.destroyed = true
			s.World.Record(t, stream("document", d.id.UUID), d.citizen, document.ContentDestroyed{Document: d.id, Erasure: domain.ErasureID{UUID: s.id()}, Key: "k", At: s.Now})
		}
	case dice < 98:
		id := s.someone()
		s.World.Record(t, stream("citizen", id.UUID), id, citizen.Deceased{Citizen: id, At: s.Now, Personal: &citizen.DeceasedPersonal{Date: "2026-02-27"}})
		if s.side.IntN(2) == 0 {
			s.reportedDead = append(s.reportedDead, id)
		}
	case dice < 99 && len(s.Citizens) > 2:
		s.Erase(t, s.someone())
	default:
		id := s.someone()
		s.World.Record(t, stream("citizen", id.UUID), id, citizen.SSINReplaced{Citizen: id, At: s.Now, Personal: &citizen.SSINReplacedPersonal{Former: strings.Repeat("0", 11), Now: strings.Repeat("1", 11)}})
	}
}

func (s *Story) id() (id uuid.UUID) {
	for i := range id {
		id[i] = byte(s.Random.Uint32())
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

func (s *Story) someone() domain.CitizenID { return s.Citizens[s.Random.IntN(len(s.Citizens))] }

func (s *Story) register(t testing.TB) {
	id := domain.CitizenID{UUID: s.id()}
	s.Citizens = append(s.Citizens, id)
	s.World.Record(t, stream("citizen", id.UUID), id, citizen.Registered{Citizen: id, At: s.Now})
}

// Issue gives the citizen a document.
func (s *Story) Issue(t testing.TB, of domain.CitizenID) domain.DocumentID {
	d := &someDocument{id: domain.DocumentID{UUID: s.id()}, citizen: of, version: 1, state: "active"}
	s.documents = append(s.documents, d)
	f := document.Issued{
		Document: d.id, Citizen: of, Type: oneOf(s.Random, Types), Issuer: oneOf(s.Random, Issuers),
		ValidFrom: "2026-01-01", At: s.Now,
		Personal: &document.IssuedPersonal{SourceReference: "ref-" + s.id().String(), Content: s.content()},
	}
	if s.Random.IntN(3) == 0 {
		f.ValidFrom, f.PersonalValidity, f.Personal.ValidUntil = "", true, "2031-12-31"
	} else if s.Random.IntN(2) == 0 {
		f.ValidUntil = "2026-12-31"
	}
	s.World.Record(t, stream("document", d.id.UUID), of, f)
	return d.id
}

func (s *Story) content() domain.JSON {
	b, _ := json.Marshal(map[string]string{"number": s.id().String(), "text": strings.Repeat("x", s.Random.IntN(300))})
	return b
}

func (s *Story) touch(t testing.TB) {
	d := pick(s.Random, s.documents)
	if d == nil || d.destroyed {
		return
	}
	var f any
	switch dice := s.Random.IntN(10); {
	case d.state == "revoked" && dice > 0:
		return
	case dice < 5 && d.state == "active":
		d.version++
		day := domain.DateOf(s.Now.AddDate(0, 0, s.Random.IntN(60)-30))
		f = document.Updated{Document: d.id, Version: d.version, Replaces: d.version - 1, Reason: "correction", EffectiveFrom: day, ValidFrom: "2026-01-01", At: s.Now,
			Personal: &document.UpdatedPersonal{Content: s.content()}}
	case dice < 7 && d.state != "revoked":
		d.state = "suspended"
		f = document.Suspended{Document: d.id, Reason: "inquiry", At: s.Now}
	case dice < 9 && d.state == "suspended":
		d.state = "active"
		f = document.Reinstated{Document: d.id, Reason: "inquiryClosed", At: s.Now}
	default: // now and then twice, brought forward or as two insisting writers may
		d.state = "revoked"
		f = document.Revoked{Document: d.id, Reason: "lost", EffectiveFrom: domain.DateOf(s.Now.AddDate(0, 0, s.Now.Minute()-20)), At: s.Now}
	}
	s.World.Record(t, stream("document", d.id.UUID), d.citizen, f)
}

func (s *Story) consent(t testing.TB) {
	if c := pick(s.Random, s.consents); c != nil && c.state == "requested" {
		if s.Random.IntN(3) == 0 {
			c.state = "refused"
			s.World.Record(t, stream("consent", c.id.UUID), c.citizen, consent.Refused{Consent: c.id, At: s.Now})
			return
		}
		s.grant(t, c)
		return
	}
	c := &someConsent{id: domain.ConsentID{UUID: s.id()}, citizen: s.someone(), state: "requested", terms: consent.Terms{
		Consumer: oneOf(s.Random, Consumers), Purpose: oneOf(s.Random, Purposes), Until: s.Now.AddDate(0, 0, 1+s.Random.IntN(90)),
	}}
	if s.Random.IntN(2) == 0 {
		c.terms.Types = []domain.DocumentType{oneOf(s.Random, Types)}
	} else if d := pick(s.Random, s.documents); d != nil && d.citizen == c.citizen {
		c.terms.Documents = []domain.DocumentID{d.id}
	} else {
		c.terms.Types = Types
	}
	if s.Random.IntN(3) == 0 {
		c.terms.Limits.Uses = 1 + s.Random.IntN(2)
	}
	s.consents = append(s.consents, c)
	if s.Random.IntN(2) == 0 {
		s.grant(t, c)
		return
	}
	s.World.Record(t, stream("consent", c.id.UUID), c.citizen, consent.Requested{Consent: c.id, Citizen: c.citizen, Terms: c.terms, Tracked: len(s.consents)%2 == 0, At: s.Now,
		Personal: &consent.RequestedPersonal{Message: "please " + s.id().String()}})
}

func (s *Story) grant(t testing.TB, c *someConsent) {
	c.state = "granted"
	var renews domain.ConsentID
	if n := len(s.consents); n > 0 && n%3 == 0 {
		renews = s.consents[n/2].id
	}
	s.World.Record(t, stream("consent", c.id.UUID), c.citizen, consent.Granted{Consent: c.id, Citizen: c.citizen, Terms: c.terms, Renews: renews, At: s.Now,
		Personal: &consent.GrantedPersonal{Shown: consent.Shown{Text: "text " + s.id().String(), Language: "nl", Version: "1"}}})
}

func (s *Story) withdraw(t testing.TB) {
	if c := pick(s.Random, s.consents); c != nil && (c.state == "granted" || c.state == "requested" || c.state == "withdrawn" && s.Random.IntN(5) == 0) {
		c.state = "withdrawn"
		s.World.Record(t, stream("consent", c.id.UUID), c.citizen, consent.Withdrawn{Consent: c.id, Reason: "citizen", At: s.Now})
	}
}

func (s *Story) access(t testing.TB) {
	if len(s.accesses) > 0 && s.Random.IntN(2) == 0 {
		a := oneOf(s.Random, s.accesses)
		became := access.Disclosed{
			Access: a.Access, Citizen: a.Citizen, Attempt: a.Attempt, At: s.Now,
			Outcome: oneOf(s.Random, []access.Outcome{access.Delivered, access.Withheld, access.Failed}),
		}
		if became.Outcome != access.Delivered {
			became.Reason = oneOf(s.side, []domain.ReasonCode{"", "documentRevoked", "noBasis"})
		}
		s.World.Record(t, month(a.Citizen, s.Now), a.Citizen, became)
		return
	}
	a := access.Authorized{Access: domain.AccessID{UUID: s.id()}, Kind: access.OpenedDocument, Role: domain.RoleConsumer, Attempt: 1, Type: Types[len(s.accesses)%4/3], At: s.Now}
	if s.Random.IntN(6) == 0 && len(s.accesses) > 0 {
		a = oneOf(s.Random, s.accesses) // once more
		a.Attempt++
		a.At = s.Now
		if a.Consent.IsZero() {
			s.authorize(t, month(a.Citizen, s.Now), a)
		} else {
			s.authorize(t, stream("consent", a.Consent.UUID), a)
		}
		return
	}
	if s.Random.IntN(2) == 0 {
		a.Procedure = "housingApplication"
	}
	if d := pick(s.Random, s.documents); d != nil {
		a.Document, a.Citizen, a.Version = d.id, d.citizen, d.version
	} else {
		a.Citizen = s.someone()
	}
	a.Purpose, a.Consumer = oneOf(s.Random, Purposes), oneOf(s.Random, Consumers)
	switch c := pick(s.Random, s.consents); {
	case c != nil && c.state == "granted" && (c.terms.Limits.Uses == 0 || c.uses < c.terms.Limits.Uses):
		c.uses++
		a.Citizen, a.Consent, a.Consumer, a.Purpose, a.Document = c.citizen, c.id, c.terms.Consumer, c.terms.Purpose, domain.DocumentID{}
		s.authorize(t, stream("consent", c.id.UUID), a)
		return
	case s.Random.IntN(4) == 0:
		a.Role, a.Kind, a.Consumer, a.Reader, a.Mandate = domain.RoleRepresentative, access.OpenedWallet, "", s.someone(), domain.MandateID{UUID: s.id()}
	case s.Random.IntN(4) == 0:
		a.Role, a.Kind = domain.RoleIssuer, access.OpenedReadBack
	default:
		a.LegalBasis, a.Deliberation, a.Fields = "06.1c", "22/042", []domain.Field{"number"}
		a.Investigation = s.investigate(t, a.Consumer, a.Purpose)
		s.tell(t, a)
	}
	s.authorize(t, month(a.Citizen, s.Now), a)
}

// investigate sometimes opens, renews or lifts an investigation of a consumer for a purpose, and
// returns the one under which it reads; the zero id for none.
func (s *Story) investigate(t testing.TB, o domain.Organisation, p domain.Purpose) domain.InvestigationID {
	g := investigation.Grounds{Organisation: o, Purpose: p, LegalBasis: "06.1c", Deliberation: "22/042"}
	one, known := s.investigations[g]
	switch dice := s.side.IntN(6); {
	case dice < 2:
		return domain.InvestigationID{}
	case !known || !s.Now.Before(one.ends):
		one = underway{domain.InvestigationID{UUID: uuid.NewSHA1(uuid.NameSpaceOID, []byte(string(o)+string(p)+s.Now.String()))}, s.Now.Add(time.Duration(1+s.side.IntN(20)) * 24 * time.Hour)}
		s.World.Record(t, stream("investigation", one.id.UUID), domain.CitizenID{}, investigation.Opened{Investigation: one.id, Grounds: g, Reason: oneOf(s.side, []domain.ReasonCode{"fraud", "crime"}), Until: one.ends, At: s.Now})
	case dice == 2:
		one.ends = one.ends.Add(240 * time.Hour)
		s.World.Record(t, stream("investigation", one.id.UUID), domain.CitizenID{}, investigation.Renewed{Investigation: one.id, Until: one.ends, At: s.Now})
	case dice == 3:
		s.World.Record(t, stream("investigation", one.id.UUID), domain.CitizenID{}, investigation.Lifted{Investigation: one.id, At: s.Now})
		one.ends = s.Now
	}
	if s.investigations == nil {
		s.investigations = make(map[investigation.Grounds]underway)
	}
	if s.investigations[g] = one; !s.Now.Before(one.ends) {
		return domain.InvestigationID{}
	}
	return one.id
}

// underway is an investigation of a story, with its end.
type underway struct {
	id   domain.InvestigationID
	ends time.Time
}

func (s *Story) authorize(t testing.TB, in eventstore.Stream, a access.Authorized) {
	s.accesses = append(s.accesses, a)
	if s.erasedNow(a.Citizen) {
		return
	}
	a.Personal = &access.AuthorizedPersonal{CaseReference: "case " + s.id().String()}
	s.World.Record(t, in, a.Citizen, a)
}

// tell records that a consumer was told that nothing is held of somebody unknown, and what
// somebody holds, before it reads.
func (s *Story) tell(t testing.TB, a access.Authorized) {
	unknown := access.Told{
		Access: domain.AccessID{UUID: uuid.NewSHA1(a.Access.UUID, []byte("unknown"))}, Consumer: a.Consumer, Purpose: a.Purpose, Procedure: a.Procedure,
		LegalBasis: a.LegalBasis, Deliberation: a.Deliberation, Answers: []access.Answer{{Type: a.Type, Presence: access.NotHeld}}, At: s.Now,
	}
	s.World.Record(t, month(domain.CitizenID(unknown.Access), s.Now), domain.CitizenID{}, unknown)
	told := access.Told{
		Access: domain.AccessID{UUID: uuid.NewSHA1(a.Access.UUID, []byte("told"))}, Citizen: a.Citizen, Consumer: a.Consumer, Purpose: a.Purpose, Procedure: a.Procedure,
		LegalBasis: a.LegalBasis, Deliberation: a.Deliberation, Investigation: a.Investigation, At: s.Now,
		Answers: []access.Answer{{Type: "diploma", Presence: access.NotHeld}, {Type: a.Type, Presence: access.Held, Document: a.Document, Version: a.Version}},
	}
	if !s.erasedNow(a.Citizen) {
		told.Personal = &access.AuthorizedPersonal{CaseReference: "case " + told.Access.String()}
	}
	s.World.Record(t, month(a.Citizen, s.Now), a.Citizen, told)
	s.name(t, told)
}

// name records that the consumer, an issuer or an officer found the person by number, and
// that the consumer found nobody by another one.
func (s *Story) name(t testing.TB, told access.Told) {
	n := access.Named{
		Access: domain.AccessID{UUID: uuid.NewSHA1(told.Access.UUID, []byte("named"))}, Citizen: told.Citizen, Role: domain.RoleConsumer,
		Organisation: told.Consumer, Purpose: told.Purpose, Procedure: told.Procedure, At: s.Now,
	}
	nobody := n
	nobody.Access, nobody.Citizen = domain.AccessID{UUID: uuid.NewSHA1(told.Access.UUID, []byte("named nobody"))}, domain.CitizenID{}
	s.World.Record(t, month(domain.CitizenID(nobody.Access), s.Now), domain.CitizenID{}, nobody)
	switch s.side.IntN(3) {
	case 0:
		n.Role = domain.RoleIssuer
	case 1:
		n.Role, n.Organisation, n.Reason = domain.RolePrivacyOfficer, "", "complaint"
	}
	if !s.erasedNow(n.Citizen) {
		n.Case, n.Personal = true, &access.AuthorizedPersonal{CaseReference: "case " + n.Access.String()}
	}
	s.World.Record(t, month(n.Citizen, s.Now), n.Citizen, n)
	if s.side.IntN(2) == 0 {
		s.World.Record(t, month(n.Citizen, s.Now), n.Citizen, access.Disclosed{Access: n.Access, Citizen: n.Citizen, Outcome: access.Delivered, Attempt: 1, At: s.Now})
	}
}

func (s *Story) erasedNow(id domain.CitizenID) bool {
	for _, c := range s.Citizens {
		if c == id {
			return false
		}
	}
	return true
}

func (s *Story) refuse(t testing.TB) {
	f := access.Refused{Consumer: oneOf(s.Random, Consumers), Purpose: oneOf(s.Random, Purposes), Reason: "noBasis", Count: 1 + s.Random.IntN(3), At: s.Now}
	if s.Random.IntN(4) > 0 {
		f.Citizen = s.someone()
		if s.side.IntN(2) == 0 {
			f.Investigation = s.investigate(t, f.Consumer, f.Purpose)
		}
	}
	s.World.Record(t, eventstore.Stream(fmt.Sprintf("refusal-%s-%s", f.Consumer, s.Now.Format("20060102"))), f.Citizen, f)
}

func (s *Story) mandate(t testing.TB) {
	if m := pick(s.Random, s.mandates); m != nil && m.state != "ended" && s.Random.IntN(2) == 0 {
		if m.state == "granted" && s.Random.IntN(3) > 0 {
			m.state = "accepted"
			s.World.Record(t, stream("mandate", m.id.UUID), m.citizen, mandate.Accepted{Mandate: m.id, At: s.Now})
			return
		}
		m.state = "ended"
		s.World.Record(t, stream("mandate", m.id.UUID), m.citizen, mandate.Ended{Mandate: m.id, Reason: "byCitizen", At: s.Now})
		return
	}
	m := &someMandate{id: domain.MandateID{UUID: s.id()}, citizen: s.someone(), state: "granted"}
	s.mandates = append(s.mandates, m)
	f := mandate.Granted{Mandate: m.id, Citizen: m.citizen, Representative: s.someone(), Kind: mandate.Representation, At: s.Now,
		Scope: mandate.Scope{Actions: []mandate.Action{mandate.Read}}, Personal: &mandate.GrantedPersonal{Until: "2030-05-05"}}
	switch s.Random.IntN(4) {
	case 0:
		f.Scope.Types = []domain.DocumentType{oneOf(s.Random, Types)}
	case 1:
		f.Scope.Actions = []mandate.Action{mandate.Consent}
	}
	s.World.Record(t, stream("mandate", m.id.UUID), m.citizen, f)
}

// Erase destroys the citizen's key and records it. Nobody meets them again, but
// what was sealed before and on its way still arrives.
func (s *Story) Erase(t testing.TB, id domain.CitizenID) {
	for i, c := range s.Citizens {
		if c == id {
			s.Citizens = append(s.Citizens[:i:i], s.Citizens[i+1:]...)
			break
		}
	}
	s.World.Record(t, stream("citizen", id.UUID), id, citizen.KeyDestroyed{Citizen: id, Erasure: domain.ErasureID{UUID: s.id()}, Keys: []string{"k"}, At: s.Now})
	s.Issue(t, id)
	late := &someConsent{id: domain.ConsentID{UUID: s.id()}, citizen: id, terms: consent.Terms{Consumer: Consumers[0], Purpose: Purposes[0], Types: Types, Until: s.Now.AddDate(0, 6, 0)}}
	late.terms.Limits.Uses = 3
	s.grant(t, late)
	s.World.Record(t, stream("consent", late.id.UUID), id, access.Authorized{Access: domain.AccessID{UUID: s.id()}, Citizen: id, Kind: access.OpenedDocument,
		Role: domain.RoleConsumer, Consumer: Consumers[0], Consent: late.id, Attempt: 1, At: s.Now, Personal: &access.AuthorizedPersonal{CaseReference: "case " + s.id().String()}})
	mandateID := domain.MandateID{UUID: s.id()}
	s.World.Record(t, stream("mandate", mandateID.UUID), id, mandate.Granted{Mandate: mandateID, Citizen: id, Representative: s.someone(), Kind: mandate.ParentOfMinor, At: s.Now,
		Scope: mandate.Scope{Actions: []mandate.Action{mandate.Read}}, Personal: &mandate.GrantedPersonal{Until: "2031-06-06"}})
	s.World.Record(t, stream("citizen", id.UUID), id, citizen.Deceased{Citizen: id, At: s.Now})
	s.World.Keys.Destroy(id)
	for _, d := range s.documents {
		d.destroyed = d.destroyed || d.citizen == id
	}
	for _, c := range s.consents {
		if c.citizen == id && c.state != "granted" {
			c.state = "gone"
		} else if c.citizen == id {
			c.uses = 1 << 30
			c.terms.Limits.Uses = 1
		}
	}
}

func stream(category string, id uuid.UUID) eventstore.Stream {
	return eventstore.Stream(category + "-" + id.String())
}

func month(of domain.CitizenID, at time.Time) eventstore.Stream {
	return eventstore.Stream("access-" + of.String() + "-" + at.Format("200601"))
}

func oneOf[T any](r *rand.Rand, all []T) T { return all[r.IntN(len(all))] }

// pick returns a random element, or the zero value when there is none.
func pick[T any](r *rand.Rand, all []T) (one T) {
	if len(all) == 0 {
		return one
	}
	return all[r.IntN(len(all))]
}
