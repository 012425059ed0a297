package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/eventstore/memory"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/reactors"
)

const secretText = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func secret(t testing.TB) Secret {
	t.Helper()
	s, err := ParseSecret(secretText)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// noKeys is a sealer for logs in which nothing is sealed.
type noKeys struct{}

func (noKeys) Seal(context.Context, domain.CitizenID, eventstore.Place, []byte) ([]byte, error) {
	return nil, eventstore.ErrKeysUnavailable
}

func (noKeys) Open(context.Context, []byte, eventstore.Place, []byte) ([]byte, error) {
	return nil, eventstore.ErrKeysUnavailable
}

// sent is a POST as the consumer saw it.
type sent struct {
	at     time.Time
	id     string
	header http.Header
	body   []byte
	event  cloudEvent
}

// consumer is the other side, in virtual time.
type consumer struct {
	t      testing.TB
	mu     sync.Mutex
	all    []sent
	answer func(s sent, ctx context.Context) (*http.Response, error)
	news   chan sent
}

func (c *consumer) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s := sent{at: time.Now(), id: r.Header.Get("webhook-id"), header: r.Header, body: body}
	if err := json.Unmarshal(body, &s.event); err != nil {
		c.t.Errorf("the body is no JSON: %v", err)
	}
	c.mu.Lock()
	c.all = append(c.all, s)
	answer := c.answer
	c.mu.Unlock()
	c.news <- s
	return answer(s, r.Context())
}

func (c *consumer) behave(answer func(s sent, ctx context.Context) (*http.Response, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = answer
}

func (c *consumer) seen() []sent {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.all)
}

func status(code int, header ...string) func(sent, context.Context) (*http.Response, error) {
	return func(sent, context.Context) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader("no"))}, nil
	}
}

// kit is a vault with a webhook.
type kit struct {
	t        testing.TB
	store    *memory.Store
	log      *eventstore.Log
	db       *reactors.DB
	path     string
	consumer *consumer
	hook     *Webhook
	logged   *bytes.Buffer
	options  Options
	stop     func()
}

func newKit(t testing.TB) *kit {
	t.Helper()
	store := memory.New()
	k := &kit{
		t: t, store: store, path: filepath.Join(t.TempDir(), "reactors.db"), logged: &bytes.Buffer{},
		log:      eventstore.NewLog(eventstore.Options{Store: store, Codec: codec.Catalog, Sealer: noKeys{}}),
		consumer: &consumer{t: t, answer: status(204), news: make(chan sent, 10_000)},
	}
	endpoint, err := ParseEndpoint("https://consumer.example/hook?token=hidden", Policy{})
	if err != nil {
		t.Fatal(err)
	}
	k.options = Options{
		Log: k.log, Endpoint: endpoint, Secrets: []Secret{secret(t)}, Transport: k.consumer,
		Jitter: func() float64 { return 0 }, Logger: slog.New(slog.NewTextHandler(k.logged, nil)),
	}
	t.Cleanup(func() {
		if k.stop != nil {
			k.stop()
		}
	})
	return k
}

// start opens the database and runs the reactor and the delivery until k.stop.
func (k *kit) start() {
	k.t.Helper()
	var err error
	if k.db, err = reactors.Open(context.Background(), k.path, sqlitedb.Options{}); err != nil {
		k.t.Fatal(err)
	}
	k.options.DB = k.db
	if k.hook, err = New(context.Background(), k.options); err != nil {
		k.t.Fatal(err)
	}
	router, err := reactors.NewRouter(reactors.RouterOptions{
		DB: k.db, Log: k.log, Reactors: []reactors.Reactor{k.hook.Reactor()}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		k.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := router.Run(ctx); err != nil {
			k.t.Error(err)
		}
	})
	running.Go(func() {
		if err := k.hook.Run(ctx); err != nil {
			k.t.Error(err)
		}
	})
	k.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := k.db.Close(); err != nil {
			k.t.Error(err)
		}
	})
	<-router.Running()
}

func (k *kit) add(document uuid.UUID, name string) uuid.UUID {
	k.t.Helper()
	id := uuid.New()
	_, err := k.store.Append(context.Background(), eventstore.Batch{
		Stream: eventstore.Stream("document-" + document.String()), Expected: eventstore.Any,
		Records: []eventstore.Record{{
			ID: id, Type: name + "/1", Time: time.Now().UTC().Truncate(time.Microsecond),
			Meta: []byte(`{"schemaVersion":1}`), Clear: []byte(`{"citizen":"11111111-1111-4111-8111-111111111111"}`), Sealed: []byte("x"),
		}},
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return id
}

func (k *kit) deliveries(s State) []Delivery {
	k.t.Helper()
	all, err := k.hook.Deliveries(context.Background(), s, 1000)
	if err != nil {
		k.t.Fatal(err)
	}
	return all
}

func (k *kit) status() Status {
	k.t.Helper()
	s, err := k.hook.Status(context.Background())
	if err != nil {
		k.t.Fatal(err)
	}
	return s
}

// bubble runs the test in virtual time with a started kit.
func bubble(t *testing.T, test func(t *testing.T, k *kit)) {
	bubbleOf(t, lookEvery, test)
}

// bubbleOfDays is bubble for a test that lasts days of virtual time: the sender looks every
// hour, and not ten thousand times, whether another process asked for something.
func bubbleOfDays(t *testing.T, test func(t *testing.T, k *kit)) {
	bubbleOf(t, time.Hour, test)
}

func bubbleOf(t *testing.T, look time.Duration, test func(t *testing.T, k *kit)) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		k.options.LookEvery = look
		k.start()
		test(t, k)
	})
}

func TestANoticeIsThinAndSigned(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		document := uuid.New()
		names := []string{"issued", "updated", "suspended", "reinstated", "updated", "revoked", "content-destroyed"}
		states := []string{"valid", "valid", "suspended", "valid", "valid", "revoked", "erased"}
		versions := []int{1, 2, 2, 2, 3, 3, 3}
		verifier, err := standardwebhooks.NewWebhook(secretText)
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range names {
			id := k.add(document, "document."+name)
			s := <-k.consumer.news
			what := strings.Replace(name, "content-destroyed", "erased", 1)
			want := fmt.Sprintf(`{"specversion":"1.0","id":"%s","source":"urn:coffre:vault","service":"be.coffre.vault.v1","type":"be.coffre.vault.v1.documents.notify.%s","time":%q,"datacontenttype":"application/json","data":{"documentId":"%s","version":%d,"change":%d,"state":"%s"}}`,
				id, what, s.event.Time.Format(time.RFC3339Nano), document, versions[i], i+1, states[i])
			if string(s.body) != want {
				t.Errorf("sent %s\nwant %s", s.body, want)
			}
			if len(s.body) > 1<<10 {
				t.Errorf("%d bytes", len(s.body))
			}
			if s.id != id.String() || s.header.Get("Content-Type") != "application/cloudevents+json" {
				t.Errorf("id %s, headers %v", s.id, s.header)
			}
			if err := verifier.Verify(s.body, s.header); err != nil {
				t.Errorf("the library does not verify: %v", err)
			}
			for i := range s.body {
				altered := bytes.Clone(s.body)
				altered[i] ^= 1
				if verifier.Verify(altered, s.header) == nil {
					t.Fatalf("verifies with byte %d altered", i)
				}
			}
			for _, h := range []string{"webhook-id", "webhook-timestamp"} {
				header := s.header.Clone()
				header.Set(h, strings.Replace(header.Get(h), header.Get(h)[:1], "9", 1)+"0")
				if verifier.Verify(s.body, header) == nil {
					t.Errorf("verifies with another %s", h)
				}
			}
		}
		synctest.Wait()
		if n := len(k.deliveries(Delivered)); n != len(names) {
			t.Errorf("%d delivered, want %d", n, len(names))
		}
	})
}

func TestNobodyIsToldOfWhatWasBeforeTheWebhook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		document := uuid.New()
		k.add(document, "document.issued")
		k.start()
		want := k.add(document, "document.suspended")
		if s := <-k.consumer.news; s.id != want.String() || s.event.Data.Change != 2 {
			t.Errorf("told of %+v", s.event)
		}
	})
}

// Changes that follow each other faster than they are told keep each its own state.
func TestANoticeTellsTheStateAfterItsOwnChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		k.start()
		k.stop() // the reactor has its place in the log
		document := uuid.New()
		for _, name := range []string{"issued", "suspended", "reinstated", "updated", "revoked"} {
			k.add(document, "document."+name)
		}
		k.start()
		want := map[int64]string{1: "valid 1", 2: "suspended 1", 3: "valid 1", 4: "valid 2", 5: "revoked 2"}
		for range want {
			d := (<-k.consumer.news).event.Data
			if got := fmt.Sprint(d.State, " ", d.Version); got != want[d.Change] {
				t.Errorf("change %d: %s, want %s", d.Change, got, want[d.Change])
			}
		}
	})
}

func TestEventsNobodyIsToldOf(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		k.add(uuid.New(), "document.something-new")
		want := k.add(uuid.New(), "document.issued")
		if s := <-k.consumer.news; s.id != want.String() {
			t.Errorf("told of %s", s.event.Type)
		}
	})
}

func TestR22_the_schedule(t *testing.T) {
	bubbleOfDays(t, func(t *testing.T, k *kit) {
		k.consumer.behave(status(500))
		id := k.add(uuid.New(), "document.issued")
		began := time.Now()
		var at []time.Duration
		for range schedule {
			s := <-k.consumer.news
			if s.id != id.String() {
				t.Fatalf("another id, %s", s.id)
			}
			at = append(at, s.at.Sub(began))
		}
		time.Sleep(48 * time.Hour) // virtual: nothing follows
		if extra := len(k.consumer.seen()) - len(schedule); extra != 0 {
			t.Errorf("%d tries too many", extra)
		}
		want := []time.Duration{0, 5 * time.Second, 5*time.Minute + 5*time.Second}
		for _, pause := range []time.Duration{30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour} {
			want = append(want, want[len(want)-1]+pause)
		}
		for i := range want {
			if at[i].Truncate(time.Second) != want[i] {
				t.Errorf("try %d came after %v, want %v", i+1, at[i], want[i])
			}
		}
		failed := k.deliveries(Failed)
		if len(failed) != 1 || failed[0].Attempts != 10 || failed[0].Reason != "status500" {
			t.Fatalf("failed: %+v", failed)
		}
		for _, line := range []string{"hidden", "token", "MfKQ"} {
			if strings.Contains(k.logged.String(), line) {
				t.Errorf("the log holds %q", line)
			}
		}

		k.consumer.behave(status(200))
		if n, err := k.hook.ReplayFailed(t.Context()); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		if s := <-k.consumer.news; s.id != id.String() {
			t.Error("replayed under another id")
		}
		synctest.Wait()
		if n := len(k.deliveries(Delivered)); n != 1 {
			t.Errorf("%d delivered", n)
		}
		if err := k.hook.Replay(t.Context(), id); !errors.Is(err, errNoDelivery) {
			t.Errorf("replay of what was delivered: %v", err)
		}
	})
}

func TestJitterLengthensByATenthAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		k.options.Jitter = func() float64 { return 0.999 }
		k.consumer.behave(status(500))
		k.start()
		k.add(uuid.New(), "document.issued")
		first, second, third := <-k.consumer.news, <-k.consumer.news, <-k.consumer.news
		for pause, longest := range map[time.Duration]time.Duration{
			second.at.Sub(first.at): 5500 * time.Millisecond,
			third.at.Sub(second.at): 330 * time.Second,
		} {
			if pause > longest || pause < longest*99/100 {
				t.Errorf("a pause of %v, want just below %v", pause, longest)
			}
		}
	})
}

func TestTheScheduleSurvivesARestart(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		k.consumer.behave(status(500))
		id := k.add(uuid.New(), "document.issued")
		var last sent
		for range 4 { // the next one is due after two hours
			last = <-k.consumer.news
		}
		synctest.Wait()
		k.stop()
		time.Sleep(30 * time.Minute) // virtual
		k.consumer.behave(status(200))
		k.start()
		s := <-k.consumer.news
		if s.id != id.String() || s.at.Sub(last.at).Truncate(time.Second) != 2*time.Hour {
			t.Errorf("%s came %v after the try before", s.id, s.at.Sub(last.at))
		}
		synctest.Wait()
		if d := k.deliveries(Delivered); len(d) != 1 || d[0].Attempts != 5 {
			t.Errorf("delivered: %+v", d)
		}
	})
}

func TestAWaitingDeliveryHoldsUpNoOther(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		bad := uuid.New()
		k.consumer.behave(func(s sent, ctx context.Context) (*http.Response, error) {
			if s.event.Data.Document.UUID == bad {
				<-ctx.Done() // slow until we give up
				return nil, ctx.Err()
			}
			return status(200)(s, ctx)
		})
		k.add(bad, "document.issued")
		<-k.consumer.news
		began := time.Now()
		for range 50 {
			id := k.add(uuid.New(), "document.issued")
			if s := <-k.consumer.news; s.id != id.String() {
				t.Fatal("another one")
			}
		}
		// SQLite may wait for a lock for microseconds, in virtual time as well.
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("the others waited %v", waited)
		}
		s := <-k.consumer.news // gave up after 15 s, came back 5 s later
		if s.event.Data.Document.UUID != bad || s.at.Sub(began).Round(time.Second) != 20*time.Second {
			t.Errorf("came back after %v", s.at.Sub(began))
		}
		if d := k.deliveries(Pending); len(d) != 1 || d[0].Reason != "timeout" {
			t.Errorf("pending: %+v", d)
		}
	})
}

func TestR22_a_consumer_away_for_long_misses_nothing(t *testing.T) {
	bubbleOfDays(t, func(t *testing.T, k *kit) {
		back := time.Now().Add(40 * time.Hour)
		k.consumer.behave(func(s sent, ctx context.Context) (*http.Response, error) {
			if time.Now().Before(back) {
				return nil, errors.New("connection refused")
			}
			return status(200)(s, ctx)
		})
		ids := map[string]bool{}
		for range 5 {
			document := uuid.New()
			for _, name := range []string{"issued", "updated", "revoked"} {
				ids[k.add(document, "document."+name).String()] = true
				time.Sleep(time.Hour) // virtual
			}
		}
		time.Sleep(80 * time.Hour)
		synctest.Wait()
		delivered := map[string]bool{}
		for _, d := range k.deliveries(Delivered) {
			delivered[d.Event.String()] = true
		}
		for id := range ids {
			if !delivered[id] {
				t.Errorf("%s was lost", id)
			}
		}
		if d := k.deliveries(Failed); len(d) != 0 {
			t.Errorf("failed: %+v", d)
		}
	})
}

func TestGoneDisablesUntilEnabled(t *testing.T) {
	bubbleOfDays(t, func(t *testing.T, k *kit) {
		k.consumer.behave(status(410))
		a, b := uuid.New(), uuid.New()
		k.add(a, "document.issued")
		<-k.consumer.news
		synctest.Wait()
		if s := k.status(); s.Disabled.IsZero() || s.Pending != 1 {
			t.Fatalf("status %+v", s)
		}
		for _, name := range []string{"updated", "suspended", "reinstated", "revoked"} {
			k.add(a, "document."+name)
			k.add(b, "document."+name)
		}
		k.consumer.behave(status(200))
		time.Sleep(100 * time.Hour) // virtual
		k.stop()
		k.start() // disabled is kept
		time.Sleep(time.Hour)
		if n := len(k.consumer.seen()); n != 1 {
			t.Fatalf("%d tries at an endpoint that is gone", n)
		}
		if err := k.hook.Enable(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		last := map[uuid.UUID]int64{}
		for _, s := range k.consumer.seen()[1:] {
			d := s.event.Data
			if d.Change <= last[d.Document.UUID] {
				t.Errorf("change %d came after %d", d.Change, last[d.Document.UUID])
			}
			last[d.Document.UUID] = d.Change
		}
		if last[a] != 5 || last[b] != 4 || k.status().Pending != 0 {
			t.Errorf("last changes %v, status %+v", last, k.status())
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	for _, code := range []int{429, 502, 503, 504} {
		for name, value := range map[string]func() string{
			"seconds": func() string { return "600" },
			"date":    func() string { return time.Now().Add(10 * time.Minute).UTC().Format(http.TimeFormat) },
		} {
			t.Run(fmt.Sprintf("%d %s", code, name), func(t *testing.T) {
				bubble(t, func(t *testing.T, k *kit) {
					k.consumer.behave(status(code, "Retry-After", value()))
					k.add(uuid.New(), "document.issued")
					first := <-k.consumer.news
					synctest.Wait()
					k.consumer.behave(status(200))
					other := k.add(uuid.New(), "document.issued") // the wish is the endpoint's, not the notice's
					a, b := <-k.consumer.news, <-k.consumer.news
					if a.id != other.String() && b.id != other.String() {
						t.Error("the other was not sent")
					}
					for _, s := range []sent{a, b} {
						if waited := s.at.Sub(first.at); waited < 599*time.Second || waited > 601*time.Second {
							t.Errorf("sent after %v, want 10 minutes", waited)
						}
					}
				})
			})
		}
	}
}

func TestAShutdownInTheMiddleOfATryDoesNotCount(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		k.consumer.behave(func(_ sent, ctx context.Context) (*http.Response, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		id := k.add(uuid.New(), "document.issued")
		<-k.consumer.news
		k.stop()
		k.consumer.behave(status(200))
		k.start()
		if s := <-k.consumer.news; s.id != id.String() {
			t.Error("another id")
		}
		synctest.Wait()
		if d := k.deliveries(Delivered); len(d) != 1 || d[0].Attempts != 1 {
			t.Errorf("delivered: %+v", d)
		}
	})
}

func TestOldDeliveriesAreForgotten(t *testing.T) {
	bubbleOfDays(t, func(t *testing.T, k *kit) {
		k.add(uuid.New(), "document.issued")
		<-k.consumer.news
		synctest.Wait()
		err := k.db.Write(t.Context(), func(tx *sqlx.Tx) error {
			_, err := tx.Exec(`UPDATE webhook_deliveries SET changed_at = ?`, time.Now().Add(-keepDelivered).UnixMicro())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		k.add(uuid.New(), "document.issued")
		<-k.consumer.news
		time.Sleep(pruneEvery + clockCheck) // virtual
		if d := k.deliveries(Delivered); len(d) != 1 {
			t.Errorf("kept %+v, want the young one", d)
		}
	})
}

func TestBothSecretsSignWhileOneReplacesTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const next = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
		replacing, err := ParseSecret(next)
		if err != nil {
			t.Fatal(err)
		}
		k := newKit(t)
		k.options.Secrets = append(k.options.Secrets, replacing)
		k.start()
		k.add(uuid.New(), "document.issued")
		s := <-k.consumer.news
		for _, text := range []string{secretText, next} {
			verifier, err := standardwebhooks.NewWebhook(text)
			if err != nil {
				t.Fatal(err)
			}
			if err := verifier.Verify(s.body, s.header); err != nil {
				t.Error(err)
			}
		}
	})
}
