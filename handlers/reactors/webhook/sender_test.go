package webhook

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"coffre/domain"
	"coffre/eventstore/postgres/pgtest"
	"coffre/eventstore/sqlite/sqlitedb"
	"coffre/handlers/reactors"
)

// xor seals so that nothing of it can be read, and opens for the same use alone.
type xor struct{}

func (xor) Seal(use string, plain []byte) []byte {
	sealed := []byte(use + "\x00")
	for _, c := range plain {
		sealed = append(sealed, c^0xaa)
	}
	return sealed
}

func (xor) Open(use string, sealed []byte) ([]byte, error) {
	sealed, ok := bytes.CutPrefix(sealed, []byte(use+"\x00"))
	if !ok {
		return nil, errors.New("sealed for another use")
	}
	var plain []byte
	for _, c := range sealed {
		plain = append(plain, c^0xaa)
	}
	return plain, nil
}

// post office of a test: subscriptions, the signals that there are, and what a receiver got.
type office struct {
	t      *testing.T
	book   *Book
	db     *reactors.DB
	sender *Sender
	logged *bytes.Buffer

	mu      sync.Mutex
	signals []Signal // leaf i at i
	silent  bool     // nobody may hear of anything any more
	ended   []uuid.UUID
	got     []*http.Request
	bodies  []string
	answer  func(r *http.Request) (*http.Response, error)
}

// RoundTrip is the receiver.
func (o *office) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	o.got, o.bodies = append(o.got, r), append(o.bodies, string(body))
	answer := o.answer
	o.mu.Unlock()
	return answer(r)
}

func answers(code int, headers ...string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(headers); i += 2 {
			h.Set(headers[i], headers[i+1])
		}
		return &http.Response{StatusCode: code, Header: h, Body: http.NoBody, Request: r}, nil
	}
}

func (o *office) next(_ context.Context, _ Subscription, after int64, limit int) (told []Signal, last int64, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for last = after; last+1 < int64(len(o.signals)) && limit > 0; limit-- {
		last++
		if !o.silent {
			told = append(told, o.signals[last])
		}
	}
	return told, last, nil
}

// happen adds a signal and returns its id.
func (o *office) happen() uuid.UUID {
	o.mu.Lock()
	defer o.mu.Unlock()
	id := uuid.New()
	leaf := int64(len(o.signals))
	o.signals = append(o.signals, Signal{leaf, id, fmt.Appendf(nil, `{"id":"%s","leaf":%d}`, id, leaf)})
	o.book.wake()
	return id
}

// ids of the events that the receiver got, in order.
func (o *office) ids() (all []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.got {
		all = append(all, r.Header.Get("webhook-id"))
	}
	return all
}

func (o *office) behave(answer func(*http.Request) (*http.Response, error)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answer = answer
}

func newOffice(t *testing.T, db *reactors.DB) *office {
	t.Helper()
	book, err := NewBook(t.Context(), db, xor{})
	if err != nil {
		t.Fatal(err)
	}
	o := &office{t: t, book: book, db: db, logged: new(bytes.Buffer), answer: answers(204)}
	o.sender = NewSender(SenderOptions{
		Book: book, Next: o.next, Transport: o, Jitter: func() float64 { return 0 }, Logger: slog.New(slog.NewTextHandler(o.logged, nil)),
		Ended: func(_ context.Context, s Subscription, event uuid.UUID) error {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.ended = append(o.ended, event)
			return nil
		},
	})
	return o
}

func openFile(t *testing.T) *reactors.DB {
	t.Helper()
	db, err := reactors.Open(t.Context(), filepath.Join(t.TempDir(), "reactors.db"), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

const hidden1 = "https://hooks.example/coffre?token=canary-token"

// subscribe adds a subscription and returns its id and key.
func (o *office) subscribe(s Signature) (uuid.UUID, string) {
	o.t.Helper()
	return o.subscribeAs(domain.RoleConsumer, "0316380841", s)
}

func (o *office) subscribeAs(role domain.Role, of domain.Organisation, s Signature) (uuid.UUID, string) {
	o.t.Helper()
	id := uuid.New()
	key, err := o.book.Add(o.t.Context(), Subscription{ID: id, Role: role, Organisation: of, Signature: s}, endpoint(o.t, hidden1, Policy{}), int64(len(o.signals))-1)
	if err != nil {
		o.t.Fatal(err)
	}
	return id, key
}

// inBubble runs a test in virtual time with a running sender.
func inBubble(t *testing.T, test func(t *testing.T, o *office)) { inBubbleLooking(t, 0, test) }

// inBubbleOfDays does, with a sender that looks every five minutes unless it is woken.
func inBubbleOfDays(t *testing.T, test func(t *testing.T, o *office)) {
	inBubbleLooking(t, 5*time.Minute, test)
}

func inBubbleLooking(t *testing.T, every time.Duration, test func(t *testing.T, o *office)) {
	synctest.Test(t, func(t *testing.T) {
		db := openFile(t)
		o := newOffice(t, db)
		o.sender.o.LookEvery = max(every, o.sender.o.LookEvery)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- o.sender.Run(ctx) }()
		test(t, o)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if log := o.logged.String(); strings.Contains(log, "canary") || strings.Contains(log, "whsec_") {
			t.Errorf("the log holds what is hidden: %s", log)
		}
	})
}

// after waits in virtual time until the sender has nothing to do.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// A signal is told once, signed so that a receiver's own library verifies it, under one key and
// under each of two while one replaces the other; with Ed25519 the receiver holds no secret.
func TestSignaturesOfASubscription(t *testing.T) {
	inBubble(t, func(t *testing.T, o *office) {
		_, secret := o.subscribe(HMAC)
		other, public := o.subscribe(Ed25519)
		want := o.happen()
		after(2 * time.Second)
		if got := o.ids(); !slices.Equal(got, []string{want.String(), want.String()}) {
			t.Fatalf("told %v", got)
		}
		verify := func(i int, key string) bool {
			r, body := o.got[i], o.bodies[i]
			if !strings.HasPrefix(key, "whpk_") {
				v, err := standardwebhooks.NewWebhook(key)
				return err == nil && v.VerifyIgnoringTimestamp([]byte(body), r.Header) == nil
			}
			raw, err := base64.StdEncoding.DecodeString(key[len("whpk_"):])
			if err != nil {
				t.Fatal(err)
			}
			for one := range strings.FieldsSeq(r.Header.Get("webhook-signature")) {
				sig, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(one, "v1a,"))
				if err == nil && ed25519.Verify(raw, []byte(r.Header.Get("webhook-id")+"."+r.Header.Get("webhook-timestamp")+"."+body), sig) {
					return true
				}
			}
			return false
		}
		if first, second := verify(0, secret), verify(1, secret); first == second || verify(0, public) == verify(1, public) || first == verify(0, public) {
			t.Error("each receiver verifies its own delivery, and no other")
		}
		next, err := o.book.Rotate(t.Context(), other, false)
		if err != nil || !strings.HasPrefix(next, "whpk_") || next == public {
			t.Fatalf("%q, %v", next, err)
		}
		if _, err := o.book.Rotate(t.Context(), other, false); !errors.Is(err, ErrRotating) {
			t.Errorf("a second rotation: %v", err)
		}
		o.happen()
		after(2 * time.Second)
		i := slices.IndexFunc(o.got[2:], func(r *http.Request) bool { return strings.HasPrefix(r.Header.Get("webhook-signature"), "v1a,") }) + 2
		if !verify(i, public) || !verify(i, next) {
			t.Error("both keys sign while one replaces the other")
		}
		if _, err := o.book.Rotate(t.Context(), other, true); err != nil {
			t.Fatal(err)
		}
		if _, err := o.book.Rotate(t.Context(), other, true); !errors.Is(err, ErrNotRotating) {
			t.Errorf("ended twice: %v", err)
		}
		if s, err := o.book.Get(t.Context(), other); err != nil || !slices.Equal(s.Keys, []string{next}) {
			t.Errorf("%v, %v", s.Keys, err)
		}
	})
}

// F41: a receiver that answers 410 ends its subscription, which is recorded, logged and listed;
// nothing is sent until it is enabled, and nothing that happened meanwhile is lost. Others go on.
func TestF41GoneEndsASubscription(t *testing.T) {
	inBubbleOfDays(t, func(t *testing.T, o *office) {
		id, _ := o.subscribe(HMAC)
		o.behave(answers(410))
		first := o.happen()
		after(2 * time.Second)
		s, err := o.book.Get(t.Context(), id)
		if err != nil || s.State != SubscriptionGone || s.Ended.IsZero() || s.Pending != 1 {
			t.Fatalf("%+v, %v", s, err)
		}
		if !slices.Equal(o.ended, []uuid.UUID{first}) || !strings.Contains(o.logged.String(), "answered 410") {
			t.Errorf("recorded %v, logged %s", o.ended, o.logged)
		}
		o.behave(answers(204))
		second := o.happen()
		after(100 * time.Hour)
		if got := o.ids(); len(got) != 1 {
			t.Errorf("told after 410: %v", got)
		}
		if err := o.book.Enable(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		after(3 * time.Second)
		if got := o.ids(); !slices.Equal(got[1:], []string{first.String(), second.String()}) {
			t.Errorf("after it was enabled: %v", got[1:])
		}
	})
}

// R22: a receiver that fails is tried on the schedule for three days, and then the delivery has
// failed; Retry-After is honoured; the log of deliveries tells statuses and times.
func TestR22TheScheduleOfASubscription(t *testing.T) {
	inBubbleOfDays(t, func(t *testing.T, o *office) {
		id, _ := o.subscribe(HMAC)
		o.behave(answers(500))
		event := o.happen()
		after(100 * time.Hour)
		sent, err := o.book.Deliveries(t.Context(), id, -1, 10)
		if err != nil || len(sent) != 1 || sent[0].State != Failed || sent[0].Attempts != len(schedule) || sent[0].Status != 500 || sent[0].Reason != "status500" || sent[0].Event != event {
			t.Fatalf("%+v, %v", sent, err)
		}
		o.behave(answers(503, "Retry-After", "7200"))
		if n, err := o.book.Replay(t.Context(), id, Replayed{}); err != nil || n != 1 {
			t.Fatalf("%d, %v", n, err)
		}
		after(2 * time.Second)
		tried := len(o.ids())
		o.behave(answers(204))
		o.happen()
		after(time.Hour)
		if got := len(o.ids()); got != tried {
			t.Errorf("%d were sent before Retry-After", got-tried)
		}
		after(2 * time.Hour)
		if got := len(o.ids()); got != tried+2 {
			t.Errorf("%d were sent after it", got-tried)
		}
	})
}

// What an organisation may not hear of any more is not sent again, and the log of deliveries says
// that it was withheld.
func TestWhatMayNotBeHeardIsWithheld(t *testing.T) {
	inBubbleOfDays(t, func(t *testing.T, o *office) {
		id, _ := o.subscribe(HMAC)
		o.behave(answers(500))
		o.happen()
		after(2 * time.Second)
		o.mu.Lock()
		o.silent = true
		o.mu.Unlock()
		after(100 * time.Hour)
		if got := o.ids(); len(got) != 1 {
			t.Errorf("sent %d times", len(got))
		}
		if sent, err := o.book.Deliveries(t.Context(), id, -1, 10); err != nil || len(sent) != 1 || sent[0].State != Withheld {
			t.Errorf("%+v, %v", sent, err)
		}
	})
}

// One event, those of a time, or all behind a place are told again, under the same ids; what was
// removed is told nothing and leaves no address behind.
func TestReplaysOfASubscription(t *testing.T) {
	inBubble(t, func(t *testing.T, o *office) {
		id, _ := o.subscribe(HMAC)
		var ids []string
		var times []time.Time
		for range 3 {
			times = append(times, time.Now())
			ids = append(ids, o.happen().String())
			after(time.Minute)
		}
		told := func(name string, r Replayed, want ...string) {
			t.Helper()
			before := len(o.ids()) // the sender does not wait for this test
			if _, err := o.book.Replay(t.Context(), id, r); err != nil {
				t.Fatal(err)
			}
			after(5 * time.Second)
			if got := o.ids()[before:]; !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
		second := uuid.MustParse(ids[1])
		told("one", Replayed{Event: &second}, ids[1])
		told("those of a time", Replayed{From: &times[1], Until: &times[2]}, ids[1])
		told("all behind a place", Replayed{After: new(int64(0))}, ids[1], ids[2])
		told("what failed", Replayed{})
		if _, err := o.book.Replay(t.Context(), id, Replayed{Event: new(uuid.New())}); !errors.Is(err, errNoDelivery) {
			t.Errorf("an event that it was not told: %v", err)
		}
		if err := o.book.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		before := len(o.ids())
		o.happen()
		after(5 * time.Second)
		if got := o.ids()[before:]; len(got) != 0 {
			t.Errorf("removed, and told %v", got)
		}
		if _, err := o.book.Get(t.Context(), id); !errors.Is(err, ErrNoReceiver) {
			t.Errorf("removed: %v", err)
		}
	})
}

// A try that a shutdown cuts short does not count, and is made again.
func TestAShutdownCountsNoTryOfASubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openFile(t)
		o := newOffice(t, db)
		id, _ := o.subscribe(HMAC)
		o.behave(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })
		event := o.happen()
		for range 2 {
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- o.sender.Run(ctx) }()
			after(3 * time.Second)
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		sent, err := o.book.Deliveries(t.Context(), id, -1, 10)
		if err != nil || len(sent) != 1 || sent[0].Attempts != 0 || sent[0].State != Pending || !slices.Equal(o.ids(), []string{event.String(), event.String()}) {
			t.Errorf("%+v, %v, %v", sent, o.ids(), err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

// The addresses and keys of receivers lie in no table in clear.
func TestReceiversAreSealed(t *testing.T) {
	db := openFile(t)
	defer db.Close()
	o := newOffice(t, db)
	id, key := o.subscribe(HMAC)
	var sealed []byte
	if err := db.Reader().Get(&sealed, `SELECT sealed FROM webhook_subscriptions`); err != nil || bytes.Contains(sealed, []byte("canary-token")) || len(sealed) == 0 {
		t.Errorf("%q, %v", sealed, err)
	}
	s, err := o.book.Get(t.Context(), id)
	if err != nil || s.Host != "https://hooks.example" || len(s.Keys) != 1 || strings.Contains(key, s.Keys[0]) || s.Filter.CitizenRef != nil {
		t.Errorf("%+v, %v", s, err)
	}
	if again, err := o.book.Add(t.Context(), s, endpoint(t, hidden1, Policy{}), 0); err != nil || again != "" {
		t.Errorf("added again: %q, %v", again, err)
	}
	for range maxSubscriptions - 1 {
		o.subscribe(HMAC)
	}
	if _, err := o.book.Add(t.Context(), Subscription{ID: uuid.New(), Role: s.Role, Organisation: s.Organisation, Signature: HMAC}, endpoint(t, hidden1, Policy{}), 0); !errors.Is(err, ErrTooMany) {
		t.Errorf("one too many: %v", err)
	}
}

// Every statement runs on PostgreSQL as well.
func TestSubscriptionsOnPostgreSQL(t *testing.T) {
	db, err := reactors.OpenPostgres(t.Context(), pgtest.Shared(t).Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	o := newOffice(t, db)
	id, _ := o.subscribe(Ed25519)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	heard, gone := make(chan string, 10), false
	o.behave(func(r *http.Request) (*http.Response, error) {
		heard <- r.Header.Get("webhook-id")
		if gone {
			return answers(410)(r)
		}
		return answers(429, "Retry-After", "0")(r)
	})
	event := o.happen()
	go func() { ended <- o.sender.Run(ctx) }()
	if got := <-heard; got != event.String() {
		t.Errorf("told %s", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	gone = true
	for _, r := range []Replayed{{}, {From: new(time.Now().Add(-time.Hour))}, {After: new(int64(-1))}} {
		if _, err := o.book.Replay(t.Context(), id, r); err != nil {
			t.Error(err)
		}
	}
	ctx, stop = context.WithCancel(t.Context())
	go func() { ended <- o.sender.Run(ctx) }()
	<-heard
	for { // the answer is recorded behind the call
		s, err := o.book.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if s.State == SubscriptionGone {
			break
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if all, err := o.book.Of(t.Context(), domain.RoleConsumer, "0316380841"); err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	_, err = o.book.Rotate(t.Context(), id, false)
	if err := errors.Join(err, o.book.Enable(t.Context(), id), o.book.Remove(t.Context(), id)); err != nil {
		t.Error(err)
	}
	o.sender.prune(t.Context(), time.Now().Add(1000*time.Hour))
	if all, err := o.book.Of(t.Context(), "", ""); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

// attack makes one try to a receiver over the network.
func attack(t *testing.T, raw string, p Policy, roots *x509.CertPool) tryResult {
	t.Helper()
	to := endpoint(t, raw, p)
	s := Subscription{ID: uuid.New(), Signature: HMAC, box: box{URL: raw, Keys: [][]byte{newKey()}}}
	c := &client{raw, to, to.Client(tryTimeout, roots)}
	defer c.http.CloseIdleConnections()
	a, _ := post(t.Context(), s, c, Signal{0, uuid.New(), []byte("{}")}, time.Now())
	return a
}

// SSRF: an address that is not public is refused when it is given, in every spelling, and a name
// that leads to one when it is asked (the handshake) and at every connection.
func TestAttackPrivateAddresses(t *testing.T) {
	for _, raw := range []string{
		"https://127.0.0.1/", "https://localhost/", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://0x7f.1/", "https://2130706433/", "https://0177.0.0.1/",
		"https://10.1.2.3/", "https://169.254.169.254/latest/meta-data/", "https://[fe80::1]/", "https://[fd00::1]/", "https://[64:ff9b::7f00:1]/", "https://0.0.0.0/",
		"http://hooks.example/", "https://user@hooks.example/", "https://hooks.example:22/", "https://hooks.example/#fragment", "file:///etc/passwd", "gopher://hooks.example/", "https://hooks%2eexample/",
	} {
		if _, err := ParseEndpoint(raw, Policy{}); err == nil {
			t.Errorf("%s is accepted", raw)
		}
	}
	s, roots := server(t, func(http.ResponseWriter, *http.Request) { t.Error("reached") })
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	named := Endpoint{url: &url.URL{Scheme: "https", Host: "localhost:" + u.Port(), Path: "/"}}
	if err := Handshake(t.Context(), named, roots, "coffre"); !errors.Is(err, ErrEndpointAddress) {
		t.Errorf("the handshake: %v", err)
	}
}

// DNS that changes between the check and the connection: the name was accepted, and leads to this
// machine when it is connected to.
func TestAttackRebinding(t *testing.T) {
	s, roots := server(t, func(http.ResponseWriter, *http.Request) { t.Error("reached") })
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HTTPS_PROXY", s.URL)
	to := Endpoint{url: &url.URL{Scheme: "https", Host: "localhost:" + u.Port(), Path: "/"}}
	c := &client{"", to, to.Client(tryTimeout, roots)}
	one := Subscription{ID: uuid.New(), Signature: HMAC, box: box{Keys: [][]byte{newKey()}}}
	if a, _ := post(t.Context(), one, c, Signal{0, uuid.New(), []byte("{}")}, time.Now()); a.reason != "addressRefused" {
		t.Errorf("%+v", a)
	}
}

// A redirect is not followed, neither by a delivery nor by the handshake.
func TestAttackRedirect(t *testing.T) {
	s, roots := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			t.Error("followed")
		}
		w.Header().Set("WebHook-Allowed-Origin", "*")
		http.Redirect(w, r, "/latest/meta-data", http.StatusTemporaryRedirect)
	})
	if a := attack(t, s.URL+"/", loopback, roots); a.reason != "redirect" {
		t.Errorf("%+v", a)
	}
	if err := Handshake(t.Context(), endpoint(t, s.URL+"/", loopback), roots, "coffre"); !errors.Is(err, ErrHandshake) {
		t.Errorf("the handshake: %v", err)
	}
}

// A huge answer is read to 4 KiB, and huge headers not at all; neither is kept.
func TestAttackHugeAnswer(t *testing.T) {
	read := make(chan int, 1)
	s, roots := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/headers" {
			for i := range 64 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("a", 1<<10))
			}
			return
		}
		n := 0
		for {
			wrote, err := w.Write(make([]byte, 1<<20))
			if n += wrote; err != nil {
				read <- n
				return
			}
		}
	})
	if a := attack(t, s.URL+"/", loopback, roots); a.reason != "" {
		t.Errorf("%+v", a)
	}
	if n := <-read; n > 64<<20 {
		t.Errorf("%d bytes were taken", n)
	}
	if a := attack(t, s.URL+"/headers", loopback, roots); a.reason != "unreachable" {
		t.Errorf("headers: %+v", a)
	}
}

// slowly answers a byte at a time for as long as it is let.
type slowly struct{ r *http.Request }

func (s slowly) Read(p []byte) (int, error) {
	select {
	case <-time.After(10 * time.Second):
		p[0] = ' '
		return 1, nil
	case <-s.r.Context().Done():
		return 0, s.r.Context().Err()
	}
}
func (slowly) Close() error { return nil }

// A slow drip ends after fifteen seconds in all, and holds up no other subscription.
func TestAttackSlowDrip(t *testing.T) {
	inBubble(t, func(t *testing.T, o *office) {
		slow, _ := o.subscribe(HMAC)
		quick, _ := o.subscribe(Ed25519)
		o.behave(func(r *http.Request) (*http.Response, error) {
			answer, err := answers(200)(r)
			if !strings.HasPrefix(r.Header.Get("webhook-signature"), "v1a") {
				answer.Body = slowly{r}
			}
			return answer, err
		})
		for range 3 {
			o.happen()
		}
		after(10 * time.Second)
		if s, err := o.book.Get(t.Context(), quick); err != nil || s.Pending != 0 {
			t.Errorf("the other waits: %+v, %v", s, err)
		}
		after(40 * time.Second)
		if s, err := o.book.Get(t.Context(), slow); err != nil || s.Pending != 0 {
			t.Errorf("three drips took longer than 45 s: %+v, %v", s, err)
		}
	})
}

// An organisation that has as many receivers as it may, all of which drip, holds up no other's.
func TestAttackManySlowReceivers(t *testing.T) {
	inBubble(t, func(t *testing.T, o *office) {
		for _, role := range []domain.Role{domain.RoleConsumer, domain.RoleIssuer} {
			for range maxSubscriptions {
				o.subscribeAs(role, "0316380841", HMAC)
			}
		}
		quick, _ := o.subscribeAs(domain.RoleConsumer, "0206731645", Ed25519)
		o.behave(func(r *http.Request) (*http.Response, error) {
			answer, err := answers(200)(r)
			if !strings.HasPrefix(r.Header.Get("webhook-signature"), "v1a") {
				answer.Body = slowly{r}
			}
			return answer, err
		})
		for range 10 {
			o.happen()
		}
		after(5 * time.Second)
		sent, err := o.book.Deliveries(t.Context(), quick, -1, 20)
		if err != nil || len(sent) != 10 || slices.ContainsFunc(sent, func(d Sent) bool { return d.State != Delivered }) {
			t.Errorf("the other waits: %+v, %v", sent, err)
		}
	})
}

// TLS: a receiver that offers nothing newer than 1.1 is not spoken to, nor one whose certificate
// is another's.
func TestAttackTLSDowngrade(t *testing.T) {
	s, roots := server(t, func(http.ResponseWriter, *http.Request) { t.Error("answered") })
	s.TLS.MinVersion, s.TLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if a := attack(t, s.URL+"/", loopback, roots); a.reason == "" {
		t.Error("told over TLS 1.1")
	}
	current, _ := server(t, func(http.ResponseWriter, *http.Request) { t.Error("answered") })
	if a := attack(t, current.URL+"/", loopback, nil); a.reason != "tls" {
		t.Errorf("%+v", a)
	}
}

// The handshake asks with the origin, and takes nothing but that origin or * for a yes.
func TestHandshake(t *testing.T) {
	for name, c := range map[string]struct {
		status  int
		allowed string
		want    error
	}{
		"the origin":     {200, "coffre.example", nil},
		"any origin":     {204, "*", nil},
		"another origin": {200, "elsewhere.example", ErrHandshake},
		"no word":        {200, "", ErrHandshake},
		"not there":      {404, "*", ErrHandshake},
		"gone":           {410, "*", ErrHandshake},
	} {
		s, roots := server(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodOptions || r.Header.Get("WebHook-Request-Origin") != "coffre.example" || r.ContentLength > 0 {
				t.Errorf("%s: asked with %s %v", name, r.Method, r.Header)
			}
			if c.allowed != "" {
				w.Header().Set("WebHook-Allowed-Origin", c.allowed)
			}
			w.WriteHeader(c.status)
		})
		if err := Handshake(t.Context(), endpoint(t, s.URL, loopback), roots, "coffre.example"); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Handshake(t.Context(), endpoint(t, "https://127.0.0.1:65001", Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}), nil, "coffre"); !errors.Is(err, ErrHandshake) {
		t.Errorf("nobody listens: %v", err)
	}
}
