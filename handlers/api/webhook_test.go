package api

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/handlers/contract"
)

var hookID = uuid.MustParse("3f0c2c8e-6b1d-8e0b-9d57-0c9f6a1b2d3e")

// oneWebhook is a webhook that notes what is asked of it.
type oneWebhook struct {
	disabled time.Time
	asked    int64
	acts     []string
}

func (w *oneWebhook) List(context.Context) ([]WebhookState, error) {
	return []WebhookState{{ID: hookID, Host: "https://hooks.example", Disabled: w.disabled, Failed: 2, Secrets: []string{"0a1b2c3d"}, Asked: w.asked}}, nil
}

func (w *oneWebhook) Enable(context.Context, uuid.UUID) error {
	w.disabled, w.acts = time.Time{}, append(w.acts, "enable")
	return nil
}

func (w *oneWebhook) Replay(_ context.Context, _ uuid.UUID, event *uuid.UUID) (int64, error) {
	if event != nil {
		w.acts = append(w.acts, "replay "+event.String())
		return 1, nil
	}
	w.acts = append(w.acts, "replay")
	return 2, nil
}

func (w *oneWebhook) Rotate(context.Context, uuid.UUID) error {
	w.asked++
	w.acts = append(w.acts, "rotate")
	return nil
}

// Operators see the webhook, its receiver that answered 410, and act on it; another id is no
// webhook, and a vault without one lists none.
func TestF41OperatorsSeeToTheWebhook(t *testing.T) {
	tv := newVault(t)
	list := func() []contract.Webhook {
		t.Helper()
		answer, err := tv.ListWebhooks(tv.as(t, operator, "listWebhooks", nil), contract.ListWebhooksRequestObject{})
		if err != nil {
			t.Fatal(err)
		}
		return answer.(contract.ListWebhooks200JSONResponse).Items
	}
	enable := func(id uuid.UUID) (contract.EnableWebhookResponseObject, error) {
		return tv.EnableWebhook(tv.as(t, operator, "enableWebhook", nil), contract.EnableWebhookRequestObject{WebhookID: id, Params: contract.EnableWebhookParams{IdempotencyKey: uuid.New()}})
	}
	if all := list(); len(all) != 0 {
		t.Errorf("without a webhook: %+v", all)
	}
	if _, err := enable(hookID); problemOf(err) != "resourceNotFound" {
		t.Errorf("without a webhook: %v", err)
	}
	hook := &oneWebhook{disabled: noon}
	tv.Webhooks = hook
	if all := list(); len(all) != 1 || all[0].State != contract.WebhookStateDisabled || !all[0].DisabledAt.Equal(noon) || all[0].Failed != 2 || all[0].WebhookID != hookID {
		t.Errorf("gone: %+v", all)
	}
	if _, err := enable(uuid.New()); problemOf(err) != "resourceNotFound" {
		t.Errorf("another id: %v", err)
	}
	if now, err := enable(hookID); err != nil || now.(contract.EnableWebhook200JSONResponse).State != contract.WebhookStateEnabled {
		t.Errorf("enabled: %+v, %v", now, err)
	}
	replay := func(key uuid.UUID, event *uuid.UUID) int64 {
		t.Helper()
		answer, err := tv.ReplayWebhook(tv.as(t, operator, "replayWebhook", nil), contract.ReplayWebhookRequestObject{WebhookID: hookID, Params: contract.ReplayWebhookParams{IdempotencyKey: key}, Body: &contract.WebhookReplay{EventID: event}})
		if err != nil {
			t.Fatal(err)
		}
		return answer.(contract.ReplayWebhook200JSONResponse).Deliveries
	}
	key := uuid.New()
	for range 2 { // the second time by its key
		if n := replay(key, nil); n != 2 {
			t.Errorf("%d are tried again", n)
		}
	}
	if n := replay(uuid.New(), &uuid.Nil); n != 1 {
		t.Errorf("%d are tried again", n)
	}
	answer, err := tv.RotateWebhook(tv.as(t, operator, "rotateWebhook", nil), contract.RotateWebhookRequestObject{WebhookID: hookID, Params: contract.RotateWebhookParams{IdempotencyKey: uuid.New()}})
	if err != nil || answer.(contract.RotateWebhook202JSONResponse).Body.Rotation != 1 {
		t.Errorf("rotated: %+v, %v", answer, err)
	}
	if want := []string{"enable", "replay", "replay " + uuid.Nil.String(), "rotate"}; !reflect.DeepEqual(hook.acts, want) {
		t.Errorf("asked of it: %v", hook.acts)
	}
}
