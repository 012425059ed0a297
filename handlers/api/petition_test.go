package api

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/audit"
	"coffre/domain/citizen"
	"coffre/domain/petition"
	"coffre/eventstore"
	"coffre/eventstore/faulty"
	"coffre/handlers/acting"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

func (tv *testVault) petitionWith(t testing.TB, as edge.Caller, of domain.CitizenID, key uuid.UUID, body contract.PetitionMake) (contract.Petition, error) {
	t.Helper()
	answer, err := tv.MakePetition(tv.as(t, as, "makePetition", body), contract.MakePetitionRequestObject{CitizenID: of, Params: contract.MakePetitionParams{IdempotencyKey: key}, Body: &body})
	if err != nil {
		return contract.Petition{}, err
	}
	return answer.(contract.MakePetition201JSONResponse).Body, nil
}

func (tv *testVault) petition(t testing.TB, of domain.CitizenID, body contract.PetitionMake) (contract.Petition, error) {
	t.Helper()
	return tv.petitionWith(t, citizenCaller(of), of, uuid.New(), body)
}

func (tv *testVault) answer(t testing.TB, as edge.Caller, id domain.PetitionID, body contract.PetitionAnswer) error {
	t.Helper()
	_, err := tv.AnswerPetition(tv.as(t, as, "answerPetition", body), contract.AnswerPetitionRequestObject{PetitionID: id, Params: contract.AnswerPetitionParams{IdempotencyKey: uuid.New()}, Body: &body})
	return err
}

func (tv *testVault) petitions(t testing.TB, as edge.Caller, in ...contract.PetitionState) (ids []domain.PetitionID) {
	t.Helper()
	tv.waitForReadModels(t)
	p := contract.ListPetitionsParams{State: in, PageSize: 1}
	for {
		answer, err := tv.ListPetitions(tv.as(t, as, "listPetitions", nil), contract.ListPetitionsRequestObject{Params: p})
		if err != nil {
			t.Fatal(err)
		}
		page := answer.(contract.ListPetitions200JSONResponse)
		for _, one := range page.Items {
			if one.Text != "" || one.Answer != "" {
				t.Errorf("a list tells texts: %+v", one)
			}
			ids = append(ids, one.PetitionID)
		}
		if page.NextCursor == "" {
			return ids
		}
		p.After = page.NextCursor
	}
}

func (tv *testVault) petitionSeenBy(t testing.TB, as edge.Caller, id domain.PetitionID) (contract.Petition, error) {
	t.Helper()
	answer, err := tv.GetPetition(tv.as(t, as, "getPetition", nil), contract.GetPetitionRequestObject{PetitionID: id})
	if err != nil {
		return contract.Petition{}, err
	}
	return contract.Petition(answer.(contract.GetPetition200JSONResponse)), nil
}

// entryOf returns the newest entry of an access log that stands in a list.
func (tv *testVault) entryOf(t testing.TB, who domain.CitizenID, list contract.AccessList) contract.AccessLogItem {
	t.Helper()
	tv.waitIdle(t)
	tv.waitForReadModels(t)
	got, err := tv.accessesOf(t, citizenCaller(who), who, contract.GetAccessLogParams{List: list, PageSize: 1})
	if err != nil || len(got.Items) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	return got.Items[0]
}

const (
	wrong = "Canary-wrong: I never asked for it."
	right = "Canary-right: you did, in March."
)

// a citizen disputes an access; the consumer's own officer and the vault's see it,
// the consumer answers, and the citizen sees how far it is in the access log.
func TestDisputeOfAnAccess(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, 1)
	who := tv.person(t, 1)
	tv.household(t, 2)
	stranger := citizenCaller(tv.person(t, 2))
	given, err := tv.read(t, consumer(flanders), home, uuid.New(), allowance)
	if err != nil {
		t.Fatal(err)
	}
	entry := tv.entryOf(t, who, contract.AccessListAccesses)
	body := contract.PetitionMake{EntryID: &entry.EntryID, Text: wrong}
	for name, err := range map[string]error{
		"of another's log":  func() error { _, err := tv.petition(t, stranger.Citizen, body); return err }(),
		"in another's name": func() error { _, err := tv.petitionWith(t, stranger, who, uuid.New(), body); return err }(),
		"of no entry": func() error {
			_, err := tv.petition(t, who, contract.PetitionMake{EntryID: new(domain.EntryID{UUID: uuid.New()}), Text: wrong})
			return err
		}(),
		"with a restriction": func() error {
			_, err := tv.petition(t, who, contract.PetitionMake{EntryID: &entry.EntryID, Text: wrong, Restrict: new(true)})
			return err
		}(),
	} {
		if want := map[string]string{"of another's log": "entryNotFound", "in another's name": "resourceNotFound", "of no entry": "entryNotFound", "with a restriction": "petitionRestricts"}[name]; slugOf(err) != want {
			t.Errorf("Q-1 %s: %v, want %s", name, err, want)
		}
	}
	key := uuid.New()
	disputed, err := tv.petitionWith(t, citizenCaller(who), who, key, body)
	if err != nil || disputed.Kind != contract.PetitionKindDispute || disputed.State != contract.PetitionStateOpen || disputed.Organization != flanders || disputed.AccessID != given.AccessID || disputed.Deadline != "2026-07-15" {
		t.Fatalf("%+v, %v", disputed, err)
	}
	if again, err := tv.petitionWith(t, citizenCaller(who), who, key, body); err != nil || again != disputed {
		t.Errorf("the same request again: %+v, %v", again, err)
	}
	if _, err := tv.petition(t, who, body); !errors.Is(err, petition.ErrDisputed) {
		t.Errorf("Q-4 disputed twice: %v", err)
	}
	id := disputed.PetitionID
	for _, as := range []edge.Caller{citizenCaller(who), consumer(flanders), officer} {
		if got := tv.petitions(t, as, contract.PetitionStateOpen); !slices.Equal(got, []domain.PetitionID{id}) {
			t.Errorf("%s sees %v", as.Role, got)
		}
		got, err := tv.petitionSeenBy(t, as, id)
		if err != nil || got.Text != wrong || got.Answer != "" || got.CitizenID.IsZero() != (as.Role == domain.RoleConsumer) || got.CitizenRef.IsZero() != (as.Role != domain.RoleConsumer) {
			t.Errorf("%s sees %+v, %v", as.Role, got, err)
		}
	}
	for _, as := range []edge.Caller{stranger, consumer(railways), issuer(homeAffairs)} {
		_, seen := tv.petitionSeenBy(t, as, id)
		answered := error(edge.ErrNoResource)
		if as.Role != domain.RoleCitizen {
			answered = tv.answer(t, as, id, contract.PetitionAnswer{Outcome: contract.PetitionOutcomeUpheld})
		}
		if got := tv.petitions(t, as); len(got) > 0 || !errors.Is(seen, edge.ErrNoResource) || !errors.Is(answered, edge.ErrNoResource) {
			t.Errorf("A-6 %s %s: sees %v, %v, %v", as.Role, as.Organisation, got, seen, answered)
		}
	}
	if err := tv.answer(t, officer, id, contract.PetitionAnswer{Outcome: contract.PetitionOutcomeUpheld}); !errors.Is(err, petition.ErrNotAnswerer) {
		t.Errorf("Q-2 an officer answers for a consumer: %v", err)
	}
	tv.Clock.Advance(32 * 24 * time.Hour)
	if got := tv.petitions(t, officer, contract.PetitionStateOverdue); !slices.Equal(got, []domain.PetitionID{id}) || len(tv.petitions(t, officer, contract.PetitionStateOpen)) > 0 {
		t.Errorf("Q-3 overdue are %v", got)
	}
	if got := tv.entryOf(t, who, contract.AccessListAccesses); got.PetitionID != id || got.PetitionState != contract.PetitionStateOverdue {
		t.Errorf("%+v", got)
	}
	if err := tv.answer(t, consumer(flanders), id, contract.PetitionAnswer{Outcome: contract.PetitionOutcomeRejected}); !errors.Is(err, petition.ErrText) {
		t.Errorf("Q-5 rejected without a reason: %v", err)
	}
	if err := tv.answer(t, consumer(flanders), id, contract.PetitionAnswer{Outcome: contract.PetitionOutcomeRejected, Text: right}); err != nil {
		t.Fatal(err)
	}
	if got, err := tv.petitionSeenBy(t, citizenCaller(who), id); err != nil || got.State != contract.PetitionStateAnswered || got.Outcome != contract.PetitionOutcomeRejected || got.Answer != right {
		t.Errorf("%+v, %v", got, err)
	}
	if got := tv.entryOf(t, who, contract.AccessListAccesses); got.PetitionState != contract.PetitionStateAnswered {
		t.Errorf("%+v", got)
	}
	report, err := tv.reportOn(t, citizenCaller(who), who, uuid.New())
	if err != nil || len(report.Petitions) != 1 || report.Petitions[0].Text != wrong || report.Petitions[0].Answer != right {
		t.Errorf("the report has %+v, %v", report.Petitions, err)
	}
	looks := map[audit.Act]int{}
	for _, e := range recorded[audit.Operated](t, tv) {
		looks[e.Act]++
	}
	if looks[audit.ReadPetition] != 2 || looks[audit.ListPetitions] < 2 {
		t.Errorf("the looks of the consumer and the officer are on record: %v", looks)
	}
	for _, r := range tv.log(t) {
		if bytes.Contains(r.Clear, []byte("Canary")) || bytes.Contains(r.Sealed, []byte("Canary")) {
			t.Errorf("%s has the words in clear", r.Type)
		}
	}
	tv.erase(t, who, domain.DocumentID{})
	tv.waitIdle(t)
	for _, as := range []edge.Caller{consumer(flanders), officer} {
		if got, err := tv.petitionSeenBy(t, as, id); err != nil || got.Text != "" || got.Answer != "" || !got.CitizenRef.IsZero() || got.State != contract.PetitionStateAnswered {
			t.Errorf("of an erased citizen %s sees %+v, %v", as.Role, got, err)
		}
	}
}

func (tv *testVault) extend(t testing.TB, as edge.Caller, id domain.PetitionID, key uuid.UUID, why string) (contract.Petition, error) {
	t.Helper()
	body := contract.PetitionExtend{Text: why}
	answer, err := tv.ExtendPetition(tv.as(t, as, "extendPetition", body), contract.ExtendPetitionRequestObject{PetitionID: id, Params: contract.ExtendPetitionParams{IdempotencyKey: key}, Body: &body})
	if err != nil {
		return contract.Petition{}, err
	}
	return answer.(contract.ExtendPetition200JSONResponse).Body, nil
}

// Q-7, N-1: whoever answers takes two further months once, within the first; the citizen reads
// why, and the petition is overdue, and announced, after the new deadline and not before.
func TestQ7AnAnswerTakesLonger(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, 1)
	who := tv.person(t, 1)
	if _, err := tv.read(t, consumer(flanders), home, uuid.New(), allowance); err != nil {
		t.Fatal(err)
	}
	entry := tv.entryOf(t, who, contract.AccessListAccesses)
	disputed, err := tv.petition(t, who, contract.PetitionMake{EntryID: &entry.EntryID, Text: wrong})
	if err != nil {
		t.Fatal(err)
	}
	late, err := tv.petition(t, who, contract.PetitionMake{DocumentID: &home, Text: wrong})
	if err != nil {
		t.Fatal(err)
	}
	id := disputed.PetitionID
	if _, err := tv.extend(t, consumer(railways), id, uuid.New(), right); !errors.Is(err, edge.ErrNoResource) {
		t.Errorf("A-6 another consumer: %v", err)
	}
	if _, err := tv.extend(t, officer, id, uuid.New(), right); !errors.Is(err, petition.ErrNotAnswerer) {
		t.Errorf("Q-2 an officer for a consumer: %v", err)
	}
	if _, err := tv.extend(t, consumer(flanders), id, uuid.New(), " "); !errors.Is(err, petition.ErrText) {
		t.Errorf("without a reason: %v", err)
	}
	key := uuid.New()
	longer, err := tv.extend(t, consumer(flanders), id, key, right)
	if err != nil || longer.Deadline != "2026-09-15" || longer.State != contract.PetitionStateOpen || longer.ExtendedAt.IsZero() || !longer.CitizenID.IsZero() || longer.CitizenRef.IsZero() {
		t.Fatalf("%+v, %v", longer, err)
	}
	if again, err := tv.extend(t, consumer(flanders), id, key, right); err != nil || again != longer {
		t.Errorf("the same request again: %+v, %v", again, err)
	}
	if _, err := tv.extend(t, consumer(flanders), id, uuid.New(), right); !errors.Is(err, petition.ErrExtended) {
		t.Errorf("twice: %v", err)
	}
	for _, as := range []edge.Caller{citizenCaller(who), consumer(flanders), officer} {
		if got, err := tv.petitionSeenBy(t, as, id); err != nil || got.Extension != right || got.Deadline != "2026-09-15" || got.Answer != "" {
			t.Errorf("%s sees %+v, %v", as.Role, got, err)
		}
	}
	report, err := tv.reportOn(t, citizenCaller(who), who, uuid.New())
	if err != nil || len(report.Petitions) != 2 || report.Petitions[0].Extension != right {
		t.Errorf("the report has %+v, %v", report.Petitions, err)
	}
	tv.Clock.Advance(32 * 24 * time.Hour)
	if _, err := tv.extend(t, issuer(homeAffairs), late.PetitionID, uuid.New(), right); !errors.Is(err, petition.ErrTooLate) {
		t.Errorf("after the first month: %v", err)
	}
	if got := tv.petitions(t, officer, contract.PetitionStateOverdue); !slices.Equal(got, []domain.PetitionID{late.PetitionID}) {
		t.Errorf("overdue are %v", got)
	}
	tv.tick(t)
	tv.Clock.Advance(61 * 24 * time.Hour)
	tv.tick(t)
	if got, want := tv.announced(t), []string{"petition 2026-07-15 0", "petition 2026-09-15 0"}; !slices.Equal(got, want) {
		t.Errorf("announced %q, want %q", got, want)
	}
	if got := tv.petitions(t, officer, contract.PetitionStateOverdue); len(got) != 2 {
		t.Errorf("overdue are %v", got)
	}
	for _, r := range tv.log(t) {
		if bytes.Contains(r.Clear, []byte("Canary")) || bytes.Contains(r.Sealed, []byte("Canary")) {
			t.Errorf("%s has the words in clear", r.Type)
		}
	}
}

// petitionsFor returns the petitions of another that a citizen sees.
func (tv *testVault) petitionsFor(t testing.TB, as edge.Caller, of domain.CitizenID) (ids []domain.PetitionID, err error) {
	t.Helper()
	tv.waitForReadModels(t)
	p := contract.ListPetitionsParams{CitizenID: &of, PageSize: 1}
	for {
		answer, err := tv.ListPetitions(tv.as(t, as, "listPetitions", nil), contract.ListPetitionsRequestObject{Params: p})
		if err != nil {
			return nil, err
		}
		page := answer.(contract.ListPetitions200JSONResponse)
		for _, one := range page.Items {
			ids = append(ids, one.PetitionID)
		}
		if page.NextCursor == "" {
			return ids, nil
		}
		p.After = page.NextCursor
	}
}

// a parent disputes an access and asks for rectification in the child's name, sees what
// became of it with the child's own petitions, and nothing once the mandate ended. What the parent
// sees is on record first; who reads of the petition learns from nothing that a parent made it,
// but the child and an officer.
func TestQ8AParentPetitions(t *testing.T) {
	tv := newVault(t)
	card := tv.childCard(t, child(1), 2, 3)
	kid, parent, other := tv.person(t, child(1)), citizenCaller(tv.person(t, 2)), citizenCaller(tv.person(t, 3))
	tv.household(t, 4)
	stranger := citizenCaller(tv.person(t, 4))
	tv.waitForReadModels(t)
	under := tv.mandateOf(t, parent.Citizen, kid)
	if _, err := tv.show(t, other, card); err != nil {
		t.Fatal(err)
	}
	entry := tv.entryOf(t, kid, contract.AccessListAccesses) // what the other parent read
	key := uuid.New()
	body := contract.PetitionMake{DocumentID: &card, Text: wrong}
	for name, err := range map[string]error{
		"a stranger": func() error { _, err := tv.petitionWith(t, stranger, kid, uuid.New(), body); return err }(),
		"of nobody":  func() error { _, err := tv.petitionWith(t, parent, domain.CitizenID{}, uuid.New(), body); return err }(),
	} {
		if !errors.Is(err, edge.ErrNoResource) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := tv.petitionWith(t, parent, kid, uuid.New(), contract.PetitionMake{DocumentID: &card, Text: wrong, Restrict: new(true)}); !errors.Is(err, citizen.ErrMayNotRestrict) {
		t.Errorf("P-5 a parent restricts: %v", err)
	}
	asked, err := tv.petitionWith(t, parent, kid, key, body)
	if err != nil || asked.MandateID != under || asked.CitizenID != kid || asked.Organization != socialSecurity {
		t.Fatalf("%+v, %v", asked, err)
	}
	disputed, err := tv.petitionWith(t, parent, kid, uuid.New(), contract.PetitionMake{EntryID: &entry.EntryID, Text: wrong})
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range tv.Log.ReadAll(t.Context(), eventstore.Position{}, 1<<30) {
		if err != nil {
			t.Fatal(err)
		}
		switch e.Data.(type) {
		case petition.Requested, petition.Disputed:
			if meta, err := e.Metadata(); err != nil || meta.Actor.Role != domain.RoleRepresentative || meta.Represents != kid || len(meta.BasedOn) == 0 {
				t.Errorf("on record is %+v, %v", meta, err)
			}
		}
	}
	own, err := tv.petition(t, kid, contract.PetitionMake{DocumentID: &card, Text: wrong})
	if err != nil {
		t.Fatal(err)
	}
	all := []domain.PetitionID{asked.PetitionID, disputed.PetitionID, own.PetitionID}
	for _, as := range []edge.Caller{parent, other} {
		if got, err := tv.petitionsFor(t, as, kid); err != nil || !slices.Equal(got, all) {
			t.Errorf("a parent sees %v, %v", got, err)
		}
		looks := len(recorded[access.Authorized](t, tv))
		got, err := tv.petitionSeenBy(t, as, asked.PetitionID)
		if err != nil || got.Text != wrong || got.MandateID.IsZero() != (as.Citizen == other.Citizen) {
			t.Errorf("a parent sees %+v, %v", got, err)
		}
		if after := recorded[access.Authorized](t, tv); len(after) != looks+1 || after[looks].Reader != as.Citizen || after[looks].Citizen != kid {
			t.Errorf("%d accesses on record, were %d", len(after), looks)
		}
	}
	for _, as := range []edge.Caller{citizenCaller(kid), officer, issuer(socialSecurity)} {
		if got, err := tv.petitionSeenBy(t, as, asked.PetitionID); err != nil || got.MandateID.IsZero() != (as.Role == domain.RoleIssuer) {
			t.Errorf("%s sees %+v, %v", as.Role, got, err)
		}
	}
	if got := tv.petitions(t, parent); len(got) > 0 {
		t.Errorf("the child's are the parent's: %v", got)
	}
	tv.endMandate(t, under, domain.Actor{Role: domain.RoleIssuer, Organisation: socialSecurity}, "decision")
	for name, err := range map[string]error{
		"lists":         func() error { _, err := tv.petitionsFor(t, parent, kid); return err }(),
		"sees":          func() error { _, err := tv.petitionSeenBy(t, parent, asked.PetitionID); return err }(),
		"asks":          func() error { _, err := tv.petitionWith(t, parent, kid, uuid.New(), body); return err }(),
		"asks again":    func() error { _, err := tv.petitionWith(t, parent, kid, key, body); return err }(),
		"of a stranger": func() error { _, err := tv.petitionSeenBy(t, stranger, asked.PetitionID); return err }(),
	} {
		if !errors.Is(err, edge.ErrNoResource) {
			t.Errorf("whose mandate ended %s: %v", name, err)
		}
	}
}

// who represents for one type petitions and sees petitions about that type; who may only read
// petitions about nothing.
func TestQ8AMandateForAType(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, 1)
	who := tv.person(t, 1)
	tv.household(t, 2)
	tv.household(t, 3)
	if _, err := tv.read(t, consumer(flanders), home, uuid.New(), allowance); err != nil {
		t.Fatal(err)
	}
	give := func(n int, types []domain.DocumentType, actions ...contract.MandateAction) edge.Caller {
		t.Helper()
		granted, err := tv.grantMandate(t, citizenCaller(who), contract.MandateGrant{Kind: contract.MandateKindRepresentation, Actions: actions, DocumentTypes: types, Until: "2027-01-01", RepresentativeSSIN: ssin(n)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tv.AcceptMandate(tv.as(t, citizenCaller(tv.person(t, n)), "acceptMandate", nil), contract.AcceptMandateRequestObject{MandateID: granted.MandateID, Params: contract.AcceptMandateParams{IdempotencyKey: uuid.New()}}); err != nil {
			t.Fatal(err)
		}
		return citizenCaller(tv.person(t, n))
	}
	reads := give(2, nil, contract.MandateActionRead)
	decides := give(3, []domain.DocumentType{"householdComposition"}, contract.MandateActionRead, contract.MandateActionConsent)
	entry := tv.entryOf(t, who, contract.AccessListAccesses)
	about := map[string]contract.PetitionMake{
		"a document": {DocumentID: &home, Text: wrong}, "an access": {EntryID: &entry.EntryID, Text: wrong},
		"a purpose": {Organization: flanders, Purpose: "schoolAllowance", Text: wrong},
	}
	for name, body := range about {
		if _, err := tv.petitionWith(t, reads, who, uuid.New(), body); !errors.Is(err, edge.ErrNoResource) {
			t.Errorf("who may only read petitions about %s: %v", name, err)
		}
		if _, err := tv.petitionWith(t, decides, who, uuid.New(), body); (err == nil) == (name == "a purpose") {
			t.Errorf("about %s: %v", name, err)
		}
	}
	objected, err := tv.petition(t, who, about["a purpose"])
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tv.petitionsFor(t, reads, who); err != nil || len(got) != 3 {
		t.Errorf("who reads everything sees %v, %v", got, err)
	}
	if got, err := tv.petitionsFor(t, decides, who); err != nil || len(got) != 2 || slices.Contains(got, objected.PetitionID) {
		t.Errorf("who reads one type sees %v, %v", got, err)
	}
	if _, err := tv.petitionSeenBy(t, decides, objected.PetitionID); !errors.Is(err, edge.ErrNoResource) {
		t.Errorf("an objection under a mandate for a type: %v", err)
	}
}

// that an attempt was refused is disputed to the vault's officer alone; the consumer that
// was refused learns of nobody.
func TestDisputeOfARefusalStaysInTheVault(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, 1)
	who := tv.person(t, 1)
	if _, err := tv.read(t, consumer(economy), home, uuid.New(), allowance); !errors.Is(err, access.ErrNoBasis) {
		t.Fatal(err)
	}
	entry := tv.entryOf(t, who, contract.AccessListRefused)
	disputed, err := tv.petition(t, who, contract.PetitionMake{EntryID: &entry.EntryID, Text: wrong})
	if err != nil || disputed.Organization != "" {
		t.Fatalf("%+v, %v", disputed, err)
	}
	_, seen := tv.petitionSeenBy(t, consumer(economy), disputed.PetitionID)
	if got := tv.petitions(t, consumer(economy)); len(got) > 0 || !errors.Is(seen, edge.ErrNoResource) {
		t.Errorf("the refused consumer sees %v, %v", got, seen)
	}
	if err := tv.answer(t, consumer(economy), disputed.PetitionID, contract.PetitionAnswer{Outcome: contract.PetitionOutcomeUpheld}); !errors.Is(err, edge.ErrNoResource) {
		t.Errorf("the refused consumer answers: %v", err)
	}
	if _, err := tv.petition(t, who, contract.PetitionMake{Organization: economy, Purpose: "schoolAllowance", Text: wrong}); slugOf(err) != "nothingRead" {
		t.Errorf("an objection to who only was refused: %v", err)
	}
	if err := tv.answer(t, officer, disputed.PetitionID, contract.PetitionAnswer{Outcome: contract.PetitionOutcomeUpheld, Text: right}); err != nil {
		t.Error(err)
	}
}

// the issuer is asked to rectify; the contested document is not disclosed until the
// issuer answers, which it upholds once it updated the document.
func TestRectification(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, 1)
	other := tv.household(t, 2)
	who := tv.person(t, 1)
	if _, err := tv.petition(t, who, contract.PetitionMake{DocumentID: &other, Text: wrong}); slugOf(err) != "documentNotFound" {
		t.Errorf("Q-1 somebody else's document: %v", err)
	}
	asked, err := tv.petition(t, who, contract.PetitionMake{DocumentID: &home, Text: wrong, Restrict: new(true)})
	if err != nil || asked.Organization != homeAffairs || asked.Version != 1 || !asked.Restricts || asked.RestrictionID.IsZero() {
		t.Fatalf("%+v, %v", asked, err)
	}
	reads := func(want error) {
		t.Helper()
		if _, err := tv.read(t, consumer(flanders), home, uuid.New(), allowance); !errors.Is(err, want) {
			t.Errorf("Q-6 reading: %v, want %v", err, want)
		}
	}
	reads(access.ErrRestricted)
	if got := tv.petitions(t, issuer(homeAffairs)); !slices.Equal(got, []domain.PetitionID{asked.PetitionID}) {
		t.Errorf("the issuer sees %v", got)
	}
	uphold := contract.PetitionAnswer{Outcome: contract.PetitionOutcomeUpheld}
	if err := tv.answer(t, issuer(homeAffairs), asked.PetitionID, uphold); !errors.Is(err, petition.ErrVersion) {
		t.Errorf("Q-5 upheld before anything changed: %v", err)
	}
	reads(access.ErrRestricted)
	if _, err := tv.update(t, homeAffairs, home, `"1"`, `{"asOf":"2026-02-01","householdSize":1,"members":[]}`); err != nil {
		t.Fatal(err)
	}
	if err := tv.answer(t, issuer(homeAffairs), asked.PetitionID, uphold); err != nil {
		t.Fatal(err)
	}
	reads(nil)
	if got, err := tv.petitionSeenBy(t, citizenCaller(who), asked.PetitionID); err != nil || got.RectifiedVersion != 2 || got.Outcome != contract.PetitionOutcomeUpheld {
		t.Errorf("%+v, %v", got, err)
	}
}

// an objection restricts everything of the citizen until it is answered; one that is upheld
// until the citizen lifts the restriction.
func TestObjection(t *testing.T) {
	tv := newVault(t)
	home := tv.household(t, 1)
	who := tv.person(t, 1)
	object := contract.PetitionMake{Organization: flanders, Purpose: "schoolAllowance", Text: wrong, Restrict: new(true)}
	if _, err := tv.petition(t, who, object); slugOf(err) != "nothingRead" {
		t.Fatalf("Q-1 to who read nothing: %v", err)
	}
	reads := func(want error) {
		t.Helper()
		if _, err := tv.read(t, consumer(flanders), home, uuid.New(), allowance); !errors.Is(err, want) {
			t.Errorf("Q-6 reading: %v, want %v", err, want)
		}
	}
	reads(nil)
	tv.waitIdle(t)
	tv.waitForReadModels(t)
	for _, outcome := range []contract.PetitionOutcome{contract.PetitionOutcomeRejected, contract.PetitionOutcomeUpheld} {
		asked, err := tv.petition(t, who, object)
		if err != nil || asked.Kind != contract.PetitionKindObjection || asked.Purpose != "schoolAllowance" || asked.PurposeLabel == "" {
			t.Fatalf("%+v, %v", asked, err)
		}
		reads(access.ErrRestricted)
		if seen, err := tv.petitionSeenBy(t, consumer(flanders), asked.PetitionID); err != nil || seen.Restricts || !seen.RestrictionID.IsZero() {
			t.Errorf("P-5 the consumer learns of the restriction: %+v, %v", seen, err)
		}
		if err := tv.answer(t, consumer(flanders), asked.PetitionID, contract.PetitionAnswer{Outcome: outcome, Text: right}); err != nil {
			t.Fatal(err)
		}
		if outcome == contract.PetitionOutcomeRejected {
			reads(nil)
			continue
		}
		reads(access.ErrRestricted)
		if err := tv.liftRestriction(t, citizenCaller(who), who, asked.RestrictionID, ""); err != nil {
			t.Fatal(err)
		}
		reads(nil)
	}
}

// an answer whose process died before the restriction ended is carried out by answering
// again.
func TestAnswerGoesOnAfterACrash(t *testing.T) {
	for _, fault := range []faulty.Fault{{Before: eventstore.ErrUnavailable}, {After: eventstore.ErrOutcomeUnknown}} {
		for n := 1; n <= 2; n++ {
			tv := newVault(t)
			home := tv.household(t, 1)
			who := tv.person(t, 1)
			asked, err := tv.petition(t, who, contract.PetitionMake{DocumentID: &home, Text: wrong, Restrict: new(true)})
			if err != nil {
				t.Fatal(err)
			}
			tv.waitIdle(t)
			appends := 0
			tv.Store.SetRule(func(c faulty.Call) faulty.Fault {
				if c.Method == faulty.Append {
					if appends++; appends == n {
						return fault
					}
				}
				return faulty.Fault{}
			})
			reject := contract.PetitionAnswer{Outcome: contract.PetitionOutcomeRejected, Text: right}
			_ = tv.answer(t, issuer(homeAffairs), asked.PetitionID, reject) // it may be settled at once
			tv.Store.SetRule(nil)
			if err := tv.answer(t, issuer(homeAffairs), asked.PetitionID, reject); err != nil {
				t.Fatal(n, fault, err)
			}
			if _, err := tv.read(t, consumer(flanders), home, uuid.New(), allowance); err != nil {
				t.Errorf("append %d, %+v: the restriction stands: %v", n, fault, err)
			}
		}
	}
}

// F30: what waits for an answer is bounded for each citizen, and an answer gives its place back.
func TestF30PetitionsAreBounded(t *testing.T) {
	tv := limitedVault(t, "petitions.caller=2")
	home := tv.household(t, 1)
	who := tv.person(t, 1)
	ask := func() (contract.Petition, error) {
		return tv.petition(t, who, contract.PetitionMake{DocumentID: &home, Text: wrong})
	}
	first, err := ask()
	if err == nil {
		_, err = ask()
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = ask()
	wantBudget(t, err, &acting.OpenPetitions)
	if err := tv.answer(t, issuer(homeAffairs), first.PetitionID, contract.PetitionAnswer{Outcome: contract.PetitionOutcomeRejected, Text: right}); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(); err != nil {
		t.Errorf("after an answer: %v", err)
	}
}
