package api

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/handlers/contract"
)

// oneOf is what a test knows of one person: the numbers and lives that were merged, the
// surviving life first, and what stands under them.
type oneOf struct {
	numbers   []int
	lives     []domain.CitizenID
	documents []domain.DocumentID
	consents  int
	erased    bool
}

// P-7, E-3, E-4: in random histories of documents, consents, mandates, merges and erasures every
// number leads to one person with all that stands under any of their lives, whom the mandates of
// all lives let in; and whoever is erased is forgotten under each of them.
func TestMergesInRandomHistories(t *testing.T) {
	forgotten := 0 // lives that were merged and erased
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 8))
		tv := newVault(t)
		var people []*oneOf
		for n := 1; n <= 5; n++ {
			d := tv.household(t, n)
			people = append(people, &oneOf{numbers: []int{n}, lives: []domain.CitizenID{tv.person(t, n)}, documents: []domain.DocumentID{d}})
		}
		represents := make(map[[2]int]bool) // by the numbers of both
		for range 14 {
			living := slices.DeleteFunc(slices.Clone(people), func(p *oneOf) bool { return p.erased })
			if len(living) < 2 {
				break
			}
			random.Shuffle(len(living), func(i, j int) { living[i], living[j] = living[j], living[i] })
			one, other := living[0], living[1]
			number := one.numbers[random.IntN(len(one.numbers))]
			switch dice := random.IntN(10); {
			case dice < 3:
				one.documents = append(one.documents, tv.issue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(number), DocumentType: "identityData", Content: contract.Content(identity)}))
			case dice < 5:
				tv.consentTo(t, one.lives[0], discount)
				one.consents++
			case dice < 7:
				theirs := other.numbers[random.IntN(len(other.numbers))]
				tv.lets(t, one.lives[0], theirs, other.lives[0])
				represents[[2]int{theirs, number}] = true
			case dice < 9:
				tv.merge(t, one.numbers[0], other.numbers[0])
				*other = oneOf{
					numbers: append(other.numbers, one.numbers...), lives: append(other.lives, one.lives...),
					documents: append(other.documents, one.documents...), consents: one.consents + other.consents,
				}
				people = slices.DeleteFunc(people, func(p *oneOf) bool { return p == one })
			default:
				tv.forgets(t, one)
				forgotten += len(one.lives) - 1
			}
			theirs := make(map[*oneOf][]domain.DocumentID) // of whom a person represents
			for pair := range represents {
				by, of := whoHas(people, pair[0]), whoHas(people, pair[1])
				if by == of || by.erased || of.erased {
					continue
				}
				theirs[by] = append(theirs[by], of.documents...)
				for _, life := range of.lives {
					if got := tv.held(t, by.lives[0], life); !within(of.documents, got) {
						t.Fatalf("seed %d: a representative sees %v, want %v", seed, got, of.documents)
					}
				}
			}
			for _, p := range people {
				tv.stands(t, seed, p, theirs[p])
			}
		}
	}
	if forgotten == 0 {
		t.Error("nobody who was merged was erased")
	}
}

func whoHas(people []*oneOf, number int) *oneOf {
	return people[slices.IndexFunc(people, func(p *oneOf) bool { return slices.Contains(p.numbers, number) })]
}

// within reports whether every document of some is among all.
func within(some, all []domain.DocumentID) bool {
	return !slices.ContainsFunc(some, func(d domain.DocumentID) bool { return !slices.Contains(all, d) })
}

// lets has a citizen be represented by the person with a number, who accepts.
func (tv *testVault) lets(t testing.TB, who domain.CitizenID, number int, representative domain.CitizenID) {
	t.Helper()
	m, err := tv.grantMandate(t, citizenCaller(who), contract.MandateGrant{
		RepresentativeSSIN: ssin(number), Kind: contract.MandateKindRepresentation, Actions: []contract.MandateAction{contract.MandateActionRead}, Until: "2030-01-01",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tv.AcceptMandate(tv.as(t, citizenCaller(representative), "acceptMandate", nil), contract.AcceptMandateRequestObject{MandateID: m.MandateID, Params: contract.AcceptMandateParams{IdempotencyKey: uuid.New()}}); err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
}

// forgets erases a person, and looks that nothing of any of their lives opens any more.
func (tv *testVault) forgets(t testing.TB, p *oneOf) {
	t.Helper()
	var sealed []eventstore.Record
	for _, life := range p.lives {
		sealed = append(sealed, tv.sealedRecordsOf(t, life)...)
	}
	tv.erase(t, p.lives[0], domain.DocumentID{})
	tv.waitIdle(t)
	tv.waitForReadModels(t)
	p.erased = true
	for _, r := range sealed {
		if err := tv.open(t, r); !errors.Is(err, eventstore.ErrErased) {
			t.Fatalf("E-3 %s opens, or: %v", r.Type, err)
		}
	}
}

// stands fails the test unless a person stands in the vault as the test knows them; their
// wallet may list documents of those whom they represent.
func (tv *testVault) stands(t testing.TB, seed uint64, p *oneOf, theirs []domain.DocumentID) {
	t.Helper()
	if p.erased {
		for _, n := range p.numbers {
			if err := tv.tryIssue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(n), DocumentType: "householdComposition", Content: contract.Content(household)}); slugOf(err) != "citizenErased" {
				t.Fatalf("seed %d: E-4 number %d: %v", seed, n, err)
			}
		}
		return
	}
	person, err := tv.LoadPerson(t.Context(), p.lives[len(p.lives)-1])
	if err != nil || person.ID != p.lives[0] || len(person.Lives) != len(p.lives) {
		t.Fatalf("seed %d: %v, %v, want %v", seed, person.Lives, err, p.lives)
	}
	me := citizenCaller(p.lives[0])
	report, err := tv.reportOn(t, me, p.lives[0], uuid.New())
	if err != nil || len(report.SSIN) != len(p.numbers) || len(report.Documents) != len(p.documents) || len(report.Consents) != p.consents {
		t.Fatalf("seed %d: a report of %d numbers, %d documents, %d consents, %v; want %+v", seed, len(report.SSIN), len(report.Documents), len(report.Consents), err, *p)
	}
	for _, life := range p.lives {
		got := tv.held(t, p.lives[0], life)
		if !within(p.documents, got) || !within(got, slices.Concat(p.documents, theirs)) {
			t.Fatalf("seed %d: held %v, want %v", seed, got, p.documents)
		}
	}
	for _, d := range p.documents {
		if _, err := tv.show(t, me, d); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}
