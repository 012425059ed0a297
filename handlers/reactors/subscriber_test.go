package reactors

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"coffre/eventstore"
)

// take reads n messages of the channel and acks them.
func take(t testing.TB, in <-chan *message.Message, n int) []uuid.UUID {
	t.Helper()
	ids := make([]uuid.UUID, n)
	for i := range ids {
		m, open := <-in
		if !open {
			t.Fatalf("closed after %d of %d messages", i, n)
		}
		ids[i] = uuid.MustParse(m.UUID)
		m.Ack()
	}
	return ids
}

func subscribe(t testing.TB, s *Subscriber, topic string) <-chan *message.Message {
	t.Helper()
	in, err := s.Subscribe(context.Background(), topic)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestTopics(t *testing.T) {
	k := newKit(t)
	issued := k.add("document-1", "document.issued/1")
	k.add("consent-1", "consent.granted/1")
	revoked := k.add("document-1", "document.revoked/1")
	revokedAgain := k.add("document-2", "document.revoked/2")
	used := k.add("consent-1", "access.authorized/1") // an event's noun is not always its stream's category
	registry := k.add("registry", "registry.published/1")

	for topic, want := range map[string][]uuid.UUID{
		"document":          {issued, revoked, revokedAgain},
		"document.revoked":  {revoked, revokedAgain},
		"access.authorized": {used},
		"registry":          {registry},
	} {
		if got := take(t, subscribe(t, k.subscriber("topics"), topic), len(want)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", topic, got, want)
		}
	}
	for _, bad := range []string{"", ".", "document.", ".revoked", "document.revoked/1", "document-1", "a b"} {
		if _, err := k.subscriber("topics").Subscribe(t.Context(), bad); !errors.Is(err, errTopic) {
			t.Errorf("topic %q: %v, want ErrTopic", bad, err)
		}
	}
}

func TestMessagesCarryClearFactsOnly(t *testing.T) {
	k := newKit(t)
	k.add("document-0", "document.issued/1")
	id := k.add("document-0", "document.issued/1")
	in := subscribe(t, k.subscriber("g"), "document")
	take(t, in, 1)
	m := <-in
	want := message.Metadata{
		"type": "document.issued/1", "stream": "document-0", "revision": "1", "leaf": "1",
		"recorded":    m.Metadata["recorded"],
		"correlation": uuid.NewSHA1(id, []byte("correlation")).String(),
	}
	if len(m.Metadata) != len(want) {
		t.Errorf("metadata has %d members, want %d", len(m.Metadata), len(want))
	}
	for name, v := range want {
		if m.Metadata[name] != v {
			t.Errorf("%s is %q, want %q", name, m.Metadata[name], v)
		}
	}
	if m.UUID != id.String() || string(m.Payload) != `{"n":"`+id.String()+`"}` {
		t.Errorf("message %s with %s", m.UUID, m.Payload)
	}
	n, err := fromMessage(m)
	if err != nil {
		t.Fatal(err)
	}
	if n.ID != id || n.Name() != "document.issued" || n.Revision != 1 || n.Leaf != 1 || n.Correlation.String() != want["correlation"] || time.Since(n.Recorded) < 0 {
		t.Errorf("read back as %+v", n)
	}
	m.Ack()
}

func TestResumesAfterRestart(t *testing.T) {
	k := newKit(t)
	ids := k.addMany(10, "document-1", "document.issued/1")

	first := k.subscriber("g")
	take(t, subscribe(t, first, "document"), 4)
	first.Close()
	if err := k.db.Close(); err != nil {
		t.Fatal(err)
	}

	k.db = openDB(t, k.path)
	in := subscribe(t, k.subscriber("g"), "document")
	if got := take(t, in, 6); !slices.Equal(got, ids[4:]) {
		t.Errorf("after the restart %v, want %v", got, ids[4:])
	}
}

func TestAnotherGroupHasItsOwnPosition(t *testing.T) {
	k := newKit(t)
	ids := k.addMany(3, "document-1", "document.issued/1")
	for _, group := range []string{"a", "b"} {
		if got := take(t, subscribe(t, k.subscriber(group), "document"), 3); !slices.Equal(got, ids) {
			t.Errorf("group %s got %v", group, got)
		}
	}
}

func TestFromNowBeginsWhereTheLogStoodAtTheFirstSubscription(t *testing.T) {
	k := newKit(t)
	k.addMany(3, "document-1", "document.issued/1")
	now := func() *Subscriber {
		s := NewSubscriber(SubscriberOptions{DB: k.db, Log: k.log, Group: "now", From: FromNow, Logger: silent})
		t.Cleanup(func() { s.Close() })
		return s
	}
	first := now()
	subscribe(t, first, "document")
	first.Close() // before anything was delivered
	id := k.add("document-1", "document.updated/1")
	if got := take(t, subscribe(t, now(), "document"), 1); got[0] != id {
		t.Errorf("delivered %v, want what was appended since, %v", got[0], id)
	}
}

func TestNackIsNoHotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		bad := k.add("document-1", "document.issued/1")
		in := subscribe(t, k.subscriber("g"), "document")
		began, tries := time.Now(), 0
		for time.Since(began) < time.Hour {
			m := <-in
			if m.UUID != bad.String() {
				t.Fatal("another message passed a nacked one")
			}
			tries++
			m.Nack()
		}
		// Pauses lie between 15 s and 30 s once they have grown.
		if tries < 110 || tries > 260 {
			t.Errorf("%d deliveries in an hour", tries)
		}
		m := <-in
		m.Ack()
	})
}

func TestOneConsumerOfAGroupIsServedAndAnotherTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		ids := k.addMany(3, "document-1", "document.issued/1")
		a, b := k.subscriber("g"), k.subscriber("g")
		inA := subscribe(t, a, "document")
		take(t, inA, 1)
		inB := subscribe(t, b, "document")
		synctest.Wait()
		select {
		case <-inB:
			t.Fatal("two consumers of one group were served at once")
		default:
		}
		a.Close()
		if _, open := <-inA; open {
			t.Error("delivered after the close")
		}
		if got := take(t, inB, 2); !slices.Equal(got, ids[1:]) {
			t.Errorf("the other one got %v, want %v", got, ids[1:])
		}
	})
}

// The position is compared and swapped: whoever was overtaken does not put it back.
func TestAPositionMovedByAnotherProcessIsNotPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		ids := k.addMany(5, "document-1", "document.issued/1")
		in := subscribe(t, k.subscriber("g"), "document")
		m := <-in
		if _, err := k.db.sql.Writer.Exec(`UPDATE reactor_positions SET log_commit = 4, log_prepare = 4`); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * saveAfter) // virtual: the next ack saves
		m.Ack()
		if got := take(t, in, 1); got[0] != ids[4] {
			t.Errorf("went on with %v, want %v", got[0], ids[4])
		}
	})
}

// A subscription that has caught up saves its position once in saveAfter however often the log
// commits, and also when nothing more comes.
func TestThePositionIsSavedOnceInASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		in := subscribe(t, k.subscriber("g"), "document")
		stored := func() uint64 {
			synctest.Wait()
			at, err := k.db.storedPosition(t.Context(), "g", "document")
			if err != nil {
				t.Fatal(err)
			}
			return at.Commit
		}
		time.Sleep(saveAfter)
		const events = 10
		var saved []uint64
		for range events {
			k.add("document-1", "document.issued/1")
			take(t, in, 1)
			saved = append(saved, stored())
			time.Sleep(saveAfter / (2 * events))
		}
		if want := slices.Repeat([]uint64{1}, events); !slices.Equal(saved, want) {
			t.Errorf("saved after each of ten events that came within half a second: %v, want %v", saved, want)
		}
		time.Sleep(saveAfter)
		if got := stored(); got != events {
			t.Errorf("a second later %d is saved, want %d", got, events)
		}
	})
}

func TestAckAtTheLastMomentIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t)
		ids := k.addMany(2, "document-1", "document.issued/1")
		s := k.subscriber("g")
		ctx, cancel := context.WithCancel(t.Context())
		in, err := s.Subscribe(ctx, "document")
		if err != nil {
			t.Fatal(err)
		}
		m := <-in
		m.Ack()
		cancel()
		for range in {
			continue // the second may have been on its way
		}
		if got := take(t, subscribe(t, s, "document"), 1); got[0] != ids[1] {
			t.Errorf("the acked message was delivered again")
		}
	})
}

func TestClosedSubscriberRefuses(t *testing.T) {
	k := newKit(t)
	s := k.subscriber("g")
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Subscribe(t.Context(), "document"); !errors.Is(err, errClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	k := newKit(t)
	if _, err := k.db.sql.Writer.Exec(`PRAGMA user_version = ` + strconv.Itoa(schemaVersion+1)); err != nil {
		t.Fatal(err)
	}
	if err := k.db.migrate(t.Context()); err == nil {
		t.Error("a database of a later program was opened")
	}
}

func FuzzFromMessage(f *testing.F) {
	good := Notice{
		ID: uuid.MustParse("0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44"), Type: "document.issued/1", Stream: "document-1",
		Revision: 3, Leaf: 9, Recorded: time.Date(2026, 11, 22, 10, 0, 0, 1000, time.UTC), Clear: []byte(`{}`),
	}.Message()
	f.Add(good.UUID, good.Metadata["type"], good.Metadata["stream"], good.Metadata["revision"], good.Metadata["leaf"], good.Metadata["recorded"], "", []byte(`{}`))
	f.Add("", "", "", "-1", "x", "yesterday", "00000000-0000-0000-0000-000000000001", []byte(nil))
	f.Fuzz(func(t *testing.T, id, typ, stream, revision, leaf, recorded, correlation string, payload []byte) {
		m := message.NewMessage(id, payload)
		m.Metadata = message.Metadata{MetaType: typ, MetaStream: stream, MetaRevision: revision, MetaLeaf: leaf, MetaRecorded: recorded}
		if correlation != "" {
			m.Metadata[MetaCorrelation] = correlation
		}
		n, err := fromMessage(m)
		if err != nil {
			if !errors.Is(err, ErrNotANotice) || n.Type != "" {
				t.Fatalf("%v with %+v", err, n)
			}
			return
		}
		again, err := fromMessage(n.Message())
		if err != nil {
			t.Fatalf("what was read does not read back: %v", err)
		}
		if again.ID != n.ID || again.Stream != n.Stream || again.Revision != n.Revision || again.Leaf != n.Leaf || !again.Recorded.Equal(n.Recorded) || again.Correlation != n.Correlation {
			t.Fatalf("%+v read back as %+v", n, again)
		}
		_, _ = n.Name(), eventstore.Stream(stream).Category()
	})
}
