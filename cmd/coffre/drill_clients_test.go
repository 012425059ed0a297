package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"

	"github.com/google/uuid"

	"coffre/cmd/coffre/bench"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

// drillClient lives the lives of documents, one after the other.
type drillClient struct {
	*drill
	rng    *rand.Rand
	name   string
	issued int
	mine   []int // people it met
	done   []settled
}

// settled is a call that was answered, with its answer. The answer is kept on disk
// for certain once a later request was begun by the same server.
type settled struct {
	call
	answer reply
	kept   bool
}

// live goes on until the server leaves.
func (c *drillClient) live(ctx context.Context) error {
	for {
		if err := c.life(ctx); err != nil {
			if errors.Is(err, errLeft) {
				return nil
			}
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
}

func (c *drillClient) life(ctx context.Context) error {
	person := c.pick()
	id, err := c.issue(ctx, person)
	if err != nil {
		return err
	}
	version := 1
	for range c.rng.IntN(3) {
		if err := c.change(ctx, id, "update", version+1, updateBody(version+1)); err != nil {
			return err
		}
		version++
	}
	switch c.rng.IntN(5) {
	case 0:
		err = c.change(ctx, id, "revoke", version, `{"reason":"issuedInError"}`)
	case 1, 2, 3:
		err = c.permit(ctx, person, id, version)
	}
	return errors.Join(err, c.again(ctx))
}

// pick returns somebody: new, met before or shared with all clients.
func (c *drillClient) pick() int {
	switch n := c.rng.IntN(3); {
	case n == 0:
		return c.rng.IntN(sharedPeople)
	case n == 1 && len(c.mine) > 0:
		return c.mine[c.rng.IntN(len(c.mine))]
	}
	c.mine = append(c.mine, int(c.people.Add(1)))
	return c.mine[len(c.mine)-1]
}

var (
	drillIssuer   = token.Grant{Role: domain.RoleIssuer, Organisation: homeAffairs}
	drillConsumer = token.Grant{Role: domain.RoleConsumer, Organisation: railways}
)

func drillCitizen(person int) token.Grant {
	return token.Grant{Role: domain.RoleCitizen, SSIN: bench.SSIN(person)}
}

// household is the content of a version; no two are alike.
func household(version int) string {
	return fmt.Sprintf(`{"asOf":"2026-01-01","householdSize":%d,"members":[]}`, version)
}

func updateBody(version int) string {
	return `{"reason":"changed","effectiveFrom":"2026-01-01","content":` + household(version) + `}`
}

// settle asks, expects that status and reads the answer.
func (c *drillClient) settle(ctx context.Context, what call, want int, into any) error {
	what.key = uuid.New()
	r, err := c.ask(ctx, what)
	if err != nil {
		return err
	}
	if r.status != want {
		return fmt.Errorf("%s was answered %d, want %d: %s", what.path, r.status, want, r.body)
	}
	for i := range c.done {
		c.done[i].kept = c.done[i].kept || c.done[i].answer.by == r.by
	}
	if c.done = append(c.done, settled{call: what, answer: r}); len(c.done) > 8 {
		c.done = c.done[1:]
	}
	return json.Unmarshal(r.body, into)
}

// again repeats something that was answered, and gets the same answer. Only one
// that a kill kept from being kept is made anew, from what is in the log by now.
func (c *drillClient) again(ctx context.Context) error {
	if c.rng.IntN(3) > 0 {
		return nil
	}
	former := c.done[c.rng.IntN(len(c.done))]
	r, err := c.ask(ctx, former.call)
	switch first := former.answer; {
	case err != nil:
		return err
	case r.status == first.status && bytes.Equal(r.body, first.body):
		return nil
	case former.kept || r.by == first.by:
	case former.path == "/documents" && first.status == http.StatusOK && r.status == http.StatusConflict:
		return nil // the document was there already, so nothing in the log tells of the request: it is judged anew
	case r.status == first.status && named(r) == named(first):
		return nil
	}
	return fmt.Errorf("%s was answered %d %s, and repeated %d %s", former.path, former.answer.status, former.answer.body, r.status, r.body)
}

// named is what an answer is about.
func named(r reply) (thing struct{ DocumentID, ConsentID string }) {
	_ = json.Unmarshal(r.body, &thing) // else it is about nothing
	return thing
}

func (c *drillClient) issue(ctx context.Context, person int) (domain.DocumentID, error) {
	c.issued++
	body := fmt.Sprintf(`{"ssin":"%s","documentType":"householdComposition","sourceReference":"%s-%d","validFrom":"2026-01-01","content":%s}`,
		bench.SSIN(person).Reveal(), c.name, c.issued, household(1))
	var got contract.DocumentReceipt
	if err := c.settle(ctx, call{grant: drillIssuer, path: "/documents", body: body}, http.StatusCreated, &got); err != nil {
		return got.DocumentID, err
	}
	c.note(func(t *promised) { t.documents[got.DocumentID] = paper{person: person, version: 1} })
	if c.rng.IntN(4) > 0 {
		return got.DocumentID, nil
	}
	var same contract.DocumentReceipt // the source says it once more, as another request
	err := c.settle(ctx, call{grant: drillIssuer, path: "/documents", body: body}, http.StatusOK, &same)
	if err == nil && same.DocumentID != got.DocumentID {
		err = errors.New("one source reference became two documents")
	}
	return got.DocumentID, err
}

func (c *drillClient) note(what func(*promised)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what(&c.told)
}

// change updates or revokes a document, after which it must have that version.
func (c *drillClient) change(ctx context.Context, id domain.DocumentID, how string, version int, body string) error {
	return c.changing(ctx, id, how, version, call{body: body})
}

func (c *drillClient) changing(ctx context.Context, id domain.DocumentID, how string, version int, what call) error {
	replaced := version
	if how == "update" {
		replaced--
	}
	var got contract.DocumentReceipt
	what.grant, what.path, what.ifMatch = drillIssuer, "/documents/"+id.String()+"/"+how, fmt.Sprintf(`"%d"`, replaced)
	err := c.settle(ctx, what, http.StatusOK, &got)
	if err != nil {
		return err
	}
	if got.DocumentID != id || got.Version != version {
		return fmt.Errorf("%s of version %d made version %d", how, replaced, got.Version)
	}
	c.note(func(t *promised) {
		p := t.documents[id]
		p.version, p.revoked = version, how == "revoke"
		t.documents[id] = p
	})
	return nil
}

func (c *drillClient) grant(ctx context.Context, person int) (domain.ConsentID, error) {
	var got contract.ConsentReceiptShort
	err := c.settle(ctx, call{grant: drillCitizen(person), path: "/consents", body: `{"consumer":"` + string(railways) + `","purpose":"familyDiscount","documentTypes":["householdComposition"],` +
		`"shownText":{"text":"` + discountText() + `","language":"en","version":"1"}}`}, http.StatusCreated, &got)
	if err == nil {
		c.note(func(t *promised) { t.consents[got.ConsentID] = permission{person: person} })
	}
	return got.ConsentID, err
}

func (c *drillClient) withdraw(ctx context.Context, person int, id domain.ConsentID, pass bool) error {
	var got contract.ConsentReceiptShort
	err := c.settle(ctx, call{grant: drillCitizen(person), path: "/consents/" + id.String() + "/withdraw", pass: pass}, http.StatusOK, &got)
	if err == nil {
		c.note(func(t *promised) { t.consents[id] = permission{person, true} })
	}
	return err
}

// permit is the life of a consent: granted, used, and mostly withdrawn while
// somebody reads under it.
func (c *drillClient) permit(ctx context.Context, person int, document domain.DocumentID, version int) error {
	id, err := c.grant(ctx, person)
	if err != nil {
		return err
	}
	for range c.rng.IntN(3) {
		if err := c.access(ctx, document, id, version, true, false); err != nil {
			return err
		}
	}
	if c.rng.IntN(4) == 0 {
		return nil
	}
	reading := make(chan error, 1)
	go func() { reading <- c.access(ctx, document, id, version, true, true) }()
	if err = c.withdraw(ctx, person, id, false); err == nil {
		err = c.access(ctx, document, id, version, false, true)
	}
	return errors.Join(<-reading, err)
}

// access reads a document under a consent, and may be let in, or refused because
// the consent was withdrawn.
func (c *drillClient) access(ctx context.Context, document domain.DocumentID, under domain.ConsentID, version int, mayRead, mayFail bool) error {
	what := call{grant: drillConsumer, path: "/documents/" + document.String() + "/access", key: uuid.New(), body: `{"purpose":"familyDiscount","consentId":"` + under.String() + `"}`}
	r, err := c.ask(ctx, what)
	if err != nil {
		return err
	}
	switch {
	case mayRead && r.status == http.StatusOK:
		var got contract.AccessAnswer
		if err := json.Unmarshal(r.body, &got); err != nil {
			return err
		}
		if want := fmt.Sprintf(`{"householdSize":%d}`, version); string(got.Content) != want {
			return fmt.Errorf("disclosed %s, want %s", got.Content, want)
		}
		c.note(func(t *promised) { t.disclosed[got.AccessID] = under })
		return nil
	case mayFail && r.status == http.StatusForbidden && bytes.Contains(r.body, []byte("consentWithdrawn")):
		c.note(func(t *promised) { t.refused[under]++ })
		return nil
	}
	return fmt.Errorf("access (allowed %t, refused %t) was answered %d: %s", mayRead, mayFail, r.status, r.body)
}
