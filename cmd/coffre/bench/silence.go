package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"coffre/cmd/coffre/vault"
	samples "coffre/deploy/registry"
	"coffre/domain"
	"coffre/handlers/acting"
	"coffre/handlers/edge/token"
)

const (
	// Pairs is how many pairs of a known and an unknown person T21 asks about, unless a
	// caller says it.
	Pairs = 2000

	// consumerNumber is a consumer of the sample registry that has no basis by law, and
	// here no consent either.
	consumerNumber domain.Organisation = "0203430576"
	// otherIssuer is an issuer that issued none of the documents.
	otherIssuer domain.Organisation = "0308356862"

	// unboundedLimits let one consumer ask the same persons again and again.
	unboundedLimits = "consentRequests.pair=1000000,consentRequests.person=1000000,consentRequests.caller=1000000"

	strangers   = 5_000_000 // number of the first person whom the vault does not know
	guessedAt   = 100       // persons who are guessed at again and again
	warmGuesses = 50        // unmeasured pairs before each figure
	atOnce      = 32        // requests in parallel in the figure that asks so
)

// guess is one call of somebody who has no basis, about a known person or an unknown one.
type guess struct {
	name   string
	bearer string
	method string
	status int // of the answer, the same for everybody
	atOnce int // requests in parallel; the time is that of all
	// request returns the path and the body, nil for none, of the call about a person.
	request func(p person) (path string, body string)
}

// person is somebody whom a call names: by number, or by the document that would be theirs.
type person struct {
	ssin     domain.SSIN
	document domain.DocumentID
}

// telling is T21: how well the time of an answer tells whether the vault knows a person,
// for each call that somebody without a basis can make. It is the area under the curve of
// guessing by the time of one answer: 0.5 is chance.
func (b *bench) telling(ctx context.Context) error {
	if err := b.tellingOn(ctx, "sqlite", ""); err != nil {
		return fmt.Errorf("SQLite: %w", err)
	}
	if b.Postgres == "" {
		return b.leftOut("T21.postgres")
	}
	dsn, drop, err := b.database(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(b.tellingOn(ctx, "postgres", dsn), drop()); err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	return nil
}

func (b *bench) tellingOn(ctx context.Context, store, address string) (err error) {
	dir, err := b.folder("T21-" + store)
	if err != nil {
		return err
	}
	o := vault.Options{Gather: vault.Gather, Stores: vault.StoresConfig{Log: address, ReadModels: address, Keys: address}}
	if o.Registry, err = b.unboundedRegistry(); err != nil {
		return err
	}
	if o.Limits, err = acting.ParseLimits(unboundedLimits); err != nil {
		return err
	}
	guesses := len(newGuesses("", "", ""))
	known, err := b.issueToKnown(ctx, dir, o, guesses*b.Pairs)
	if err != nil {
		return err
	}
	v, err := serveWith(ctx, dir, o) // anew, so that nobody is remembered in memory
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	var bearers [3]string
	for i, g := range []token.Grant{
		{Role: domain.RoleConsumer, Organisation: consumerNumber}, {Role: domain.RoleIssuer, Organisation: otherIssuer},
		{Role: domain.RoleCitizen, Citizen: domain.CitizenID{UUID: uuid.New()}},
	} {
		if bearers[i], err = v.token(g); err != nil {
			return err
		}
	}
	for i, g := range newGuesses(bearers[0], bearers[1], bearers[2]) {
		mine := known[i*b.Pairs : (i+1)*b.Pairs]
		first := func(n int) (person, person) { return mine[n], stranger(i*b.Pairs + n) }
		again := func(int) (person, person) {
			n := rand.IntN(min(guessedAt, len(mine)))
			return mine[n], stranger(i*b.Pairs + n)
		}
		area, err := b.area(ctx, v, g, first)
		if err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		if err := b.tell(Measure{Name: "T21." + store + "." + g.name + ".first", Value: area, Unit: "area", Target: "<= 0.55"}); err != nil {
			return err
		}
		if g.atOnce > 1 {
			continue
		}
		if area, err = b.area(ctx, v, g, again); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		if err := b.tell(Measure{Name: "T21." + store + "." + g.name + ".again", Value: area, Unit: "area", Target: "<= 0.55"}); err != nil {
			return err
		}
	}
	return nil
}

// newGuesses returns the calls, made by a consumer without a basis, by an issuer of other
// documents, and by another citizen.
func newGuesses(consumer, issuer, citizen string) []guess {
	bySSIN := func(path, format string) func(person) (string, string) {
		return func(p person) (string, string) { return path, fmt.Sprintf(format, p.ssin.Reveal()) }
	}
	byDocument := func(path, body string) func(person) (string, string) {
		return func(p person) (string, string) { return fmt.Sprintf(path, p.document), body }
	}
	const request = `{"ssin":"%s","purpose":"carSharing","documentTypes":["drivingLicence"],"message":"May we see it?"}`
	return []guess{
		{"citizensGet", consumer, http.MethodPost, http.StatusNotFound, 1, bySSIN("/citizens/get", `{"ssin":"%s"}`)},
		{"evidenceQuery", consumer, http.MethodPost, http.StatusNotFound, 1, bySSIN("/evidence/query",
			`{"ssin":"%s","procedure":"schoolEnrolmentAllowance","purpose":"schoolAllowance","legalBasis":"publicTask","deliberation":"EX-26/010","needs":[{"documentType":"diploma"}]}`)},
		{"consentsValidate", consumer, http.MethodPost, http.StatusOK, 1, bySSIN("/consents/validate",
			`{"ssin":"%s","documentType":"diploma","purpose":"schoolAllowance","legalBasis":"publicTask","deliberation":"EX-26/010"}`)},
		{"documentsAccess", consumer, http.MethodPost, http.StatusNotFound, 1, byDocument("/documents/%s/access",
			`{"purpose":"schoolAllowance","legalBasis":"publicTask","deliberation":"EX-26/010"}`)},
		{"documentsGet", issuer, http.MethodGet, http.StatusNotFound, 1, byDocument("/documents/%s", "")},
		{"documentsGetByCitizen", citizen, http.MethodGet, http.StatusNotFound, 1, byDocument("/documents/%s", "")},
		{"consentRequests", consumer, http.MethodPost, http.StatusAccepted, 1, bySSIN("/consentRequests", request)},
		{"consentRequestsAtOnce", consumer, http.MethodPost, http.StatusAccepted, atOnce, bySSIN("/consentRequests", request)},
	}
}

func stranger(i int) person {
	return person{SSIN(strangers + i), domain.DocumentID{UUID: uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "stranger %d", i))}}
}

// area asks about as many pairs as the options say, in each the one or the other first by
// chance, and returns the area under the curve of telling them by the time. Pairs that are
// not measured come before, so that both sides find the server equally warm.
func (b *bench) area(ctx context.Context, v *served, g guess, pair func(i int) (known, unknown person)) (float64, error) {
	var took [2][]time.Duration
	for i := range warmGuesses + b.Pairs {
		known, unknown := stranger(strangers+i), stranger(2*strangers+i)
		if i >= warmGuesses {
			known, unknown = pair(i - warmGuesses)
		}
		order := [2]int{0, 1}
		if rand.IntN(2) == 1 {
			order = [2]int{1, 0}
		}
		for _, side := range order {
			d, err := g.ask(ctx, v.site, [2]person{known, unknown}[side])
			if err != nil {
				return 0, err
			}
			if i >= warmGuesses {
				took[side] = append(took[side], d)
			}
		}
	}
	return areaUnderCurve(took[0], took[1]), nil
}

// ask makes the call about a person and returns how long the answer took.
func (g guess) ask(ctx context.Context, to *site, p person) (time.Duration, error) {
	path, text := g.request(p)
	var body []byte
	if text != "" {
		body = []byte(text)
	}
	began := time.Now()
	if g.atOnce == 1 {
		err := to.send(ctx, g.method, path, g.bearer, body, g.status)
		return time.Since(began), err
	}
	errs := make([]error, g.atOnce)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = to.send(ctx, g.method, path, g.bearer, body, g.status) })
	}
	all.Wait()
	return time.Since(began), errors.Join(errs...)
}

// areaUnderCurve returns how often a time of one side is below a time of the other, all
// pairs counted and ties by half, or the same of the other direction if that is more: from
// 0.5, which is chance, to 1.
func areaUnderCurve(one, other []time.Duration) float64 {
	sorted := slices.Sorted(slices.Values(other))
	below := 0.0
	for _, d := range one {
		lower, _ := slices.BinarySearch(sorted, d)
		upper, _ := slices.BinarySearch(sorted, d+1)
		below += float64(len(sorted)-upper) + float64(upper-lower)/2
	}
	area := below / (float64(len(one)) * float64(len(sorted)))
	return max(area, 1-area)
}

// issueToKnown opens the vault for a while and issues a document to each of so many persons,
// whom it returns.
func (b *bench) issueToKnown(ctx context.Context, dir vault.DataDir, o vault.Options, n int) (_ []person, err error) {
	v, err := serveWith(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	bearer, err := v.token(token.Grant{Role: domain.RoleIssuer, Organisation: issuerNumber})
	if err != nil {
		return nil, err
	}
	known, all := issuer{bearer: bearer}, make([]person, n)
	err = inParallel(ctx, n, func(ctx context.Context, i int) error {
		var answer bytes.Buffer
		if err := v.site.ask(ctx, http.MethodPost, "/documents", known.bearer, known.body(i), http.StatusCreated, &answer); err != nil {
			return err
		}
		var receipt struct {
			DocumentID domain.DocumentID `json:"documentId"`
		}
		err := json.Unmarshal(answer.Bytes(), &receipt)
		all[i] = person{SSIN(i), receipt.DocumentID}
		return err
	})
	return all, errors.Join(err, v.Runner.CatchUp(ctx))
}

// unboundedRegistry returns the sample registry with a consumer whose quota and rates no
// run of this benchmark reaches.
func (b *bench) unboundedRegistry() (fs.FS, error) {
	dir := filepath.Join(b.Dir, "T21-registry")
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.CopyFS(dir, samples.Files); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "organisations", string(consumerNumber)+".json")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	const quota = `"dailyQuota": 100000`
	if strings.Count(string(text), quota) != 1 {
		return nil, errors.New("the sample registry's consumer has another quota")
	}
	return os.DirFS(dir), os.WriteFile(file, []byte(strings.Replace(string(text), quota, `"dailyQuota": 100000000`, 1)), 0o600)
}
