package webhook

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"coffre/eventstore/postgres/pgtest"
	"coffre/handlers/reactors"
)

const nextText = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

// desk returns the desk of the kit and the receiver that it shows.
func (k *kit) desk() (Desk, Receiver) {
	k.t.Helper()
	d, err := NewDesk(k.t.Context(), k.db)
	if err != nil {
		k.t.Fatal(err)
	}
	all, err := d.Receivers(k.t.Context())
	if err != nil || len(all) != 1 {
		k.t.Fatalf("%+v, %v", all, err)
	}
	return d, all[0]
}

// signedBy reports whether a notice is signed with a secret.
func signedBy(t *testing.T, s sent, text string) bool {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(text)
	if err != nil {
		t.Fatal(err)
	}
	return verifier.Verify(s.body, s.header) == nil
}

// A receiver that answered 410 is seen, also at a start, and enabled again at the desk; what
// waited is sent at once.
func TestF41AReceiverThatIsGoneIsSeenAndEnabledAgain(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		if _, r := k.desk(); r.Host != "https://consumer.example" || r.ID.Version() != 8 || !r.Disabled.IsZero() || strings.Contains(r.Host, "hidden") {
			t.Errorf("at first: %+v", r)
		}
		k.consumer.behave(status(410))
		k.add(uuid.New(), "document.issued")
		<-k.consumer.news
		synctest.Wait()
		k.stop()
		k.logged.Reset()
		k.start()
		if said := k.logged.String(); !strings.Contains(said, "coffre webhooks enable") || !strings.Contains(said, "pending=1") || strings.Contains(said, "hidden") {
			t.Errorf("the start says %q", said)
		}
		d, r := k.desk()
		if r.Disabled.IsZero() || r.Pending != 1 {
			t.Errorf("gone: %+v", r)
		}
		k.consumer.behave(status(204))
		before := time.Now()
		if err := d.Enable(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		if s := <-k.consumer.news; !s.at.Equal(before) {
			t.Errorf("sent after %s", s.at.Sub(before))
		}
		synctest.Wait()
		if _, r := k.desk(); !r.Disabled.IsZero() || r.Pending != 0 {
			t.Errorf("enabled: %+v", r)
		}
	})
}

// An operator's word reaches a sender in another process within a minute.
func TestF41TheSenderLooksEveryMinute(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		k.consumer.behave(status(410))
		k.add(uuid.New(), "document.issued")
		<-k.consumer.news
		synctest.Wait()
		k.consumer.behave(status(204))
		if err := k.hook.updateEndpoint(t.Context(), `disabled_at = 0, resume_at = ?`, 0); err != nil { // and no signal
			t.Fatal(err)
		}
		time.Sleep(lookEvery)
		synctest.Wait()
		if n := len(k.consumer.seen()); n != 2 {
			t.Errorf("%d tries", n)
		}
	})
}

// Failed deliveries are sent again: one by its event, or all.
func TestF41FailedDeliveriesAreReplayed(t *testing.T) {
	bubbleOfDays(t, func(t *testing.T, k *kit) {
		k.consumer.behave(status(500))
		one, other := k.add(uuid.New(), "document.issued"), k.add(uuid.New(), "document.issued")
		time.Sleep(100 * time.Hour)
		synctest.Wait()
		d, r := k.desk()
		if r.Failed != 2 {
			t.Fatalf("%+v", r)
		}
		k.consumer.behave(status(204))
		unknown := uuid.New()
		if _, err := d.Replay(t.Context(), r.ID, &unknown); !errors.Is(err, errNoDelivery) {
			t.Errorf("an event without a delivery: %v", err)
		}
		if _, err := d.Replay(t.Context(), r.ID, &uuid.Nil); !errors.Is(err, errNoDelivery) {
			t.Errorf("the nil id stands for all: %v", err)
		}
		if n, err := d.Replay(t.Context(), r.ID, &one); n != 1 || err != nil {
			t.Errorf("one: %d, %v", n, err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if all := k.deliveries(Failed); len(all) != 1 || all[0].Event != other {
			t.Errorf("still failed: %+v", all)
		}
		if n, err := d.Replay(t.Context(), r.ID, nil); n != 1 || err != nil {
			t.Errorf("all: %d, %v", n, err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if all := k.deliveries(Delivered); len(all) != 2 {
			t.Errorf("delivered: %+v", all)
		}
	})
}

// While a secret is replaced both sign, then the new one alone; a text that is none changes
// nothing, and is seen.
func TestF41SecretsAreReplacedWhileTheWebhookRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		var text atomic.Value // what the file holds; the sender reads it meanwhile
		text.Store(secretText)
		k.options.ReadSecrets = func() ([]Secret, error) { return ParseSecrets(text.Load().(string)) }
		k.start()
		send := func() sent {
			k.add(uuid.New(), "document.issued")
			return <-k.consumer.news
		}
		for _, c := range []struct {
			text      string
			old, next bool
			secrets   int
			refused   bool
		}{
			{nextText + "\n" + secretText + "\n", true, true, 2, false},
			{"whsec_no", true, true, 2, true},
			{nextText, false, true, 1, false},
		} {
			text.Store(c.text)
			d, before := k.desk()
			if err := d.Rotate(t.Context(), before.ID); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			_, r := k.desk()
			if r.Asked != before.Asked+1 || r.Followed != r.Asked || r.Refused != c.refused || len(r.Secrets) != c.secrets {
				t.Errorf("%+v", r)
			}
			s := send()
			if signedBy(t, s, secretText) != c.old || signedBy(t, s, nextText) != c.next {
				t.Errorf("signed by the old %v, by the new %v", signedBy(t, s, secretText), signedBy(t, s, nextText))
			}
			synctest.Wait()
		}
		if _, r := k.desk(); !slices.Equal(r.Secrets, []string{mustSecret(t, nextText).Fingerprint()}) {
			t.Errorf("signs with %v", r.Secrets)
		}
		if strings.Contains(k.logged.String(), "whsec_no") {
			t.Error("the log holds what was read")
		}
	})
}

func mustSecret(t *testing.T, text string) Secret {
	t.Helper()
	s, err := ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseSecrets(t *testing.T) {
	made := NewSecretText()
	for text, n := range map[string]int{
		secretText: 1, secretText + "\n": 1, made: 1, secretText + "\r\n" + nextText + "\n": 2,
		"": 0, "\n": 0, secretText + "\n" + secretText: 0, secretText + "\n" + nextText + "\n" + made: 0, secretText + "\nwhsec_": 0,
	} {
		all, err := ParseSecrets(text)
		if len(all) != n || (n == 0) != errors.Is(err, ErrSecrets) {
			t.Errorf("%q: %d secrets, %v", text, len(all), err)
		}
	}
}

// A desk of another process, on PostgreSQL, shows and changes the same.
func TestF41DeskOnPostgreSQL(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	db, err := reactors.OpenPostgres(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	d, err := NewDesk(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := d.Receivers(t.Context()); len(all) != 0 || err != nil {
		t.Errorf("without a webhook: %+v, %v", all, err)
	}
	if err := d.Enable(t.Context(), uuid.New()); !errors.Is(err, ErrNoReceiver) {
		t.Errorf("no such webhook: %v", err)
	}
	k := newKit(t)
	k.options.DB = db
	hook, err := New(t.Context(), k.options)
	if err != nil {
		t.Fatal(err)
	}
	all, err := d.Receivers(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	if err := d.Rotate(t.Context(), all[0].ID); err != nil {
		t.Fatal(err)
	}
	if err := hook.followSecrets(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := hook.updateEndpoint(t.Context(), `disabled_at = ?`, 1); err != nil {
		t.Fatal(err)
	}
	if err := d.Enable(t.Context(), all[0].ID); err != nil {
		t.Fatal(err)
	}
	if n, err := d.Replay(t.Context(), all[0].ID, nil); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if all, err = d.Receivers(t.Context()); err != nil || all[0].Asked != 1 || all[0].Followed != 1 || !all[0].Disabled.IsZero() {
		t.Errorf("%+v, %v", all, err)
	}
	if _, err := New(t.Context(), k.options); err != nil { // a start follows whatever was asked for
		t.Fatal(err)
	}
}

// The page for receivers shows a notice as it is sent, each type of it, and the schedule.
func TestF41ThePageTellsWhatIsSent(t *testing.T) {
	page, err := os.ReadFile("../../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```json\n")
	example, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("the page shows no notice")
	}
	var shown, is map[string]any
	if err := json.Unmarshal([]byte(example), &shown); err != nil {
		t.Fatal(err)
	}
	bubble(t, func(t *testing.T, k *kit) {
		k.add(uuid.New(), "document.issued")
		if err := json.Unmarshal((<-k.consumer.news).body, &is); err != nil {
			t.Fatal(err)
		}
	})
	same := func(shown, is map[string]any) {
		for name := range is {
			if _, there := shown[name]; !there {
				t.Errorf("the page lacks %s", name)
			}
		}
		for name := range shown {
			if _, there := is[name]; !there {
				t.Errorf("the page has %s, which is not sent", name)
			}
		}
	}
	same(shown, is)
	same(shown["data"].(map[string]any), is["data"].(map[string]any))
	for _, verb := range noticeVerbs {
		if !strings.Contains(string(page), "`"+typePrefix+verb+"`") {
			t.Errorf("the page lacks the type %s%s", typePrefix, verb)
		}
	}
	var pauses []string
	for _, p := range schedule[1:] {
		pauses = append(pauses, strings.Replace(strings.Replace(p.String(), "h0m0s", "h", 1), "m0s", "m", 1))
	}
	if said := strings.Join(pauses, ", "); !strings.Contains(string(page), said) {
		t.Errorf("the page lacks the schedule %s", said)
	}
}
