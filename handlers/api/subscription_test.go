package api

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/domain/document"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// oneSubscription is a book of webhooks that notes what is asked of it.
type oneSubscription struct {
	all  []Subscription
	acts []string
}

func (o *oneSubscription) Of(_ context.Context, role domain.Role, of domain.Organisation) (found []Subscription, err error) {
	for _, s := range o.all {
		if of == "" || s.Role == role && s.Organisation == of {
			found = append(found, s)
		}
	}
	return found, nil
}

func (o *oneSubscription) Check(_ context.Context, url string) error {
	o.acts = append(o.acts, "check "+url)
	return nil
}

func (o *oneSubscription) Add(_ context.Context, s Subscription, url string, _ int64) (string, error) {
	o.all, o.acts = append(o.all, s), append(o.acts, "add "+url)
	return "whsec_canary", nil
}

func (o *oneSubscription) Enable(context.Context, uuid.UUID) error { return o.note("enable") }
func (o *oneSubscription) Remove(context.Context, uuid.UUID) error { return o.note("remove") }

func (o *oneSubscription) Rotate(context.Context, uuid.UUID, bool) (string, error) {
	return "whsec_other", o.note("rotate")
}

func (o *oneSubscription) Replay(context.Context, uuid.UUID, SubscriptionReplay) (int64, error) {
	return 2, o.note("replay")
}

func (o *oneSubscription) Deliveries(context.Context, uuid.UUID, int64, int) ([]SubscriptionDelivery, error) {
	return []SubscriptionDelivery{{Leaf: 1, State: "delivered", Status: 204}}, nil
}

func (o *oneSubscription) note(act string) error {
	o.acts = append(o.acts, act)
	return nil
}

// An organisation has itself told, sees its own webhooks and nobody else's, and acts on them; the
// key is in the first answer alone, and each act is on record before it has an effect.
func TestOrganisationsSeeToTheirWebhooks(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	book := &oneSubscription{}
	tv.Subscriptions = book
	mine, others := consumer(flanders), []edge.Caller{consumer(railways), issuer(flanders), consumer(homeAffairs)}
	body := contract.WebhookSubscribe{URL: "https://hooks.example/canary", Types: []contract.SignalType{typeOfSignal("documents.notify.revoked")}}
	create := func(as edge.Caller, key uuid.UUID, body contract.WebhookSubscribe) (contract.WebhookSubscription, error) {
		answer, err := tv.CreateWebhookSubscription(tv.as(t, as, "createWebhookSubscription", body), contract.CreateWebhookSubscriptionRequestObject{Params: contract.CreateWebhookSubscriptionParams{IdempotencyKey: key}, Body: &body})
		if err != nil {
			return contract.WebhookSubscription{}, err
		}
		return answer.(contract.CreateWebhookSubscription201JSONResponse).Body, nil
	}
	key := uuid.New()
	made, err := create(mine, key, body)
	if err != nil || made.Key != "whsec_canary" || made.Signature != contract.WebhookSignatureHmac || made.State != contract.WebhookSubscriptionStateEnabled {
		t.Fatalf("%+v, %v", made, err)
	}
	again, err := create(mine, key, body)
	if err != nil || again.Key != "" || again.WebhookSubscriptionID != made.WebhookSubscriptionID || len(book.all) != 1 {
		t.Errorf("again: %+v, %v", again, err)
	}
	unknown := domain.CitizenRef{UUID: uuid.New()}
	for name, b := range map[string]contract.WebhookSubscribe{
		"a type that no event has": {URL: "u", Types: []contract.SignalType{"be.coffre.vault.v1.documents.notify.read"}},
		"no type of document":      {URL: "u", DocumentTypes: []contract.DocumentTypeCode{"canary"}},
		"nobody's reference":       {URL: "u", CitizenRef: &unknown},
	} {
		if _, err := create(mine, uuid.New(), b); err == nil || len(book.all) != 1 {
			t.Errorf("%s is accepted: %v", name, err)
		}
	}
	id := made.WebhookSubscriptionID
	asked := func(as edge.Caller) (acts []error) {
		_, enable := tv.EnableWebhookSubscription(tv.as(t, as, "enableWebhookSubscription", nil), contract.EnableWebhookSubscriptionRequestObject{WebhookSubscriptionID: id, Params: contract.EnableWebhookSubscriptionParams{IdempotencyKey: uuid.New()}})
		_, replay := tv.ReplayWebhookSubscription(tv.as(t, as, "replayWebhookSubscription", nil), contract.ReplayWebhookSubscriptionRequestObject{WebhookSubscriptionID: id, Params: contract.ReplayWebhookSubscriptionParams{IdempotencyKey: uuid.New()}, Body: &contract.WebhookSubscriptionReplay{}})
		_, rotate := tv.RotateWebhookSubscription(tv.as(t, as, "rotateWebhookSubscription", nil), contract.RotateWebhookSubscriptionRequestObject{WebhookSubscriptionID: id, Params: contract.RotateWebhookSubscriptionParams{IdempotencyKey: uuid.New()}, Body: &contract.WebhookSubscriptionRotate{}})
		_, list := tv.ListWebhookDeliveries(tv.as(t, as, "listWebhookDeliveries", nil), contract.ListWebhookDeliveriesRequestObject{WebhookSubscriptionID: id})
		_, remove := tv.RemoveWebhookSubscription(tv.as(t, as, "removeWebhookSubscription", nil), contract.RemoveWebhookSubscriptionRequestObject{WebhookSubscriptionID: id, Params: contract.RemoveWebhookSubscriptionParams{IdempotencyKey: uuid.New()}})
		return []error{enable, replay, rotate, list, remove}
	}
	before := len(book.acts)
	for _, as := range others {
		for _, err := range asked(as) {
			if problemOf(err) != "resourceNotFound" {
				t.Errorf("%s %s: %v", as.Role, as.Organisation, err)
			}
		}
		answer, err := tv.ListWebhookSubscriptions(tv.as(t, as, "listWebhookSubscriptions", nil), contract.ListWebhookSubscriptionsRequestObject{})
		if err != nil || len(answer.(contract.ListWebhookSubscriptions200JSONResponse).Items) != 0 {
			t.Errorf("%s %s sees %+v, %v", as.Role, as.Organisation, answer, err)
		}
	}
	if len(book.acts) != before {
		t.Errorf("others did %v", book.acts[before:])
	}
	for _, err := range append(asked(mine), asked(operator)...) {
		if err != nil {
			t.Error(err)
		}
	}
	if err := tv.RecordGone(t.Context(), id, uuid.Nil); err != nil {
		t.Fatal(err)
	}
	if err := tv.RecordGone(t.Context(), id, uuid.Nil); err != nil { // once, whatever crashes
		t.Fatal(err)
	}
	recorded := map[audit.Act]int{}
	for _, r := range tv.log(t) {
		if e, err := tv.Log.Decode(r); err == nil {
			if o, is := e.(audit.Operated); is && o.On == id.String() {
				recorded[o.Act]++
			}
		}
		if strings.Contains(string(r.Clear), "hooks.example") {
			t.Errorf("the log holds an address: %s", r.Clear)
		}
	}
	for act, times := range map[audit.Act]int{audit.CreateSubscription: 1, audit.EnableSubscription: 2, audit.ReplaySubscription: 2, audit.RotateSubscription: 2, audit.RemoveSubscription: 2, audit.EndSubscription: 1} {
		if recorded[act] != times {
			t.Errorf("%s is on record %d times, want %d", act, recorded[act], times)
		}
	}
}

// a webhook is told what GET /signals would answer, narrowed by its filter; a reference means
// one citizen.
func TestA12AWebhookIsToldWhatItMayHear(t *testing.T) {
	tv := newVault(t)
	source := domain.Actor{Role: domain.RoleIssuer, Organisation: homeAffairs}
	var homes []domain.DocumentID
	for n := 1; n <= 2; n++ {
		home := tv.household(t, n)
		if _, err := tv.read(t, consumer(flanders), home, uuid.New(), allowance); err != nil {
			t.Fatal(err)
		}
		tv.changeDirectly(t, home, document.Suspend{Expected: document.Expectation{Any: true}, Reason: "underReview", By: source, At: tv.Clock.Now()})
		homes = append(homes, home)
	}
	ref, err := tv.Keys.Ref(t.Context(), flanders, tv.person(t, 2))
	if err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
	told := func(f SubscriptionFilter) (about []domain.DocumentID) {
		t.Helper()
		all, last, err := tv.SignalsFor(t.Context(), Subscription{Role: domain.RoleConsumer, Organisation: flanders, Filter: f}, -1, 10)
		if err != nil || last < 0 {
			t.Fatal(last, err)
		}
		for _, s := range all {
			for _, home := range homes {
				if strings.Contains(string(s.Body), home.String()) {
					about = append(about, home)
				}
			}
		}
		return about
	}
	other := domain.CitizenRef{UUID: uuid.New()}
	for name, c := range map[string]struct {
		f    SubscriptionFilter
		want []domain.DocumentID
	}{
		"everything":          {SubscriptionFilter{}, homes},
		"one citizen":         {SubscriptionFilter{CitizenRef: &ref}, homes[1:]},
		"nobody's reference":  {SubscriptionFilter{CitizenRef: &other}, nil},
		"of that source":      {SubscriptionFilter{Sources: []domain.Organisation{homeAffairs}}, homes},
		"of another source":   {SubscriptionFilter{Sources: []domain.Organisation{railways}}, nil},
		"another type":        {SubscriptionFilter{Types: []contract.SignalType{typeOfSignal("documents.notify.revoked")}}, nil},
		"another document":    {SubscriptionFilter{DocumentTypes: []domain.DocumentType{"diploma"}}, nil},
		"that type of change": {SubscriptionFilter{Types: []contract.SignalType{typeOfSignal("documents.notify.suspended")}}, homes},
	} {
		f := c.f
		if len(c.want) == 0 && (f.Types != nil || f.DocumentTypes != nil || f.Sources != nil && f.Sources[0] == railways) {
			if all, last, err := tv.SignalsFor(t.Context(), Subscription{Role: domain.RoleConsumer, Organisation: flanders, Filter: f}, -1, 10); err != nil || len(all) != 0 || last != -1 {
				t.Errorf("%s: %+v, %d, %v", name, all, last, err)
			}
			continue
		}
		if got := told(f); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
