package reactors

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/google/uuid"

	"coffre/eventstore"
)

// Watermill's own suite for what calls itself a Subscriber.
//
// What of it does not apply, and why:
//   - TestReconnect restarts a broker by a command; there is none. Faults of the
//     store and restarts of the process are tested beside (stall_test.go,
//     subscriber_test.go).
//   - ContextPreserved: an event is read from disk, it has no Go context.
//   - ExactlyOnceDelivery: at least once is the promise; repetitions are recognised
//     by the router (router_test.go).
//   - The suite publishes metadata of its own ("test"). Ours is fixed, so that it
//     cannot hold anything personal: the value travels as the event's correlation.
//   - NewSubscriberReceivesOldMessages is about groups that never ran, so it gets a
//     constructor that makes a new group each time.
var features = tests.Features{
	ConsumerGroups:  true,
	GuaranteedOrder: true,
	Persistent:      true,
	// Names of events: the suite appends "-1" to topics, and a category has no dash.
	GenerateTopicFunc: func(c tests.TestContext) string { return "test.t" + string(c.TestID) },
}

// stage keeps what the constructors of one sub-test share.
type stage struct {
	mu   sync.Mutex
	dir  string
	open func(*testing.T) eventstore.Store
	at   map[string]*kit
}

func (s *stage) kit(t *testing.T) *kit {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.at[t.Name()]
	if k == nil {
		store := s.open(t)
		// Not t's own directory and context: some sub-tests close after their end.
		path := filepath.Join(s.dir, uuid.NewString())
		k = &kit{t, store, logOver(store), openDB(t, path), path}
		s.at[t.Name()] = k
	}
	return k
}

func newStage(t *testing.T, open func(*testing.T) eventstore.Store) *stage {
	return &stage{dir: t.TempDir(), open: open, at: map[string]*kit{}}
}

func (s *stage) grouped(t *testing.T, group string) (message.Publisher, message.Subscriber) {
	k := s.kit(t)
	return publisher{k}, &correlating{Subscriber: NewSubscriber(SubscriberOptions{
		DB: k.db, Log: k.log, Group: group, Logger: silent,
		Backoff: Backoff{First: time.Millisecond, Max: 4 * time.Millisecond},
	})}
}

func (s *stage) one(t *testing.T) (message.Publisher, message.Subscriber) {
	return s.grouped(t, "group")
}

// suite is tests.TestPubSub without the two sub-tests that would only skip.
func (s *stage) suite(t *testing.T) {
	for name, test := range map[string]func(*testing.T, tests.TestContext, tests.PubSubConstructor){
		"PublishSubscribe":                  tests.TestPublishSubscribe,
		"ConcurrentSubscribe":               tests.TestConcurrentSubscribe,
		"ConcurrentSubscribeMultipleTopics": tests.TestConcurrentSubscribeMultipleTopics,
		"ResendOnError":                     tests.TestResendOnError,
		"NoAck":                             tests.TestNoAck,
		"ContinueAfterSubscribeClose":       tests.TestContinueAfterSubscribeClose,
		"ConcurrentClose":                   tests.TestConcurrentClose,
		"ContinueAfterErrors":               tests.TestContinueAfterErrors,
		"PublishSubscribeInOrder":           tests.TestPublishSubscribeInOrder,
		"PublisherClose":                    tests.TestPublisherClose,
		"Topic":                             tests.TestTopic,
		"MessageCtx":                        tests.TestMessageCtx,
		"SubscribeCtx":                      tests.TestSubscribeCtx,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, tests.TestContext{TestID: tests.NewTestID(), Features: features}, s.one)
		})
	}
	t.Run("ConsumerGroups", func(t *testing.T) {
		t.Parallel()
		tests.TestConsumerGroups(t, tests.TestContext{TestID: tests.NewTestID(), Features: features}, s.grouped)
	})
	t.Run("NewSubscriberReceivesOldMessages", func(t *testing.T) {
		t.Parallel()
		f := features
		f.NewSubscriberReceivesOldMessages = true
		each := func(t *testing.T) (message.Publisher, message.Subscriber) { return s.grouped(t, uuid.NewString()) }
		tests.TestNewSubscriberReceivesOldMessages(t, tests.TestContext{TestID: tests.NewTestID(), Features: f}, each)
	})
}

func TestWatermillConformance(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			// One log for all, as a vault has.
			log := open(t)
			newStage(t, func(*testing.T) eventstore.Store { return log }).suite(t)
		})
	}
}

func TestWatermillConformanceSoak(t *testing.T) {
	if os.Getenv("COFFRE_SOAK") == "" {
		t.Log("not run: the suite ten times at once is for make soak (COFFRE_SOAK=1)")
		return
	}
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			for i := range 10 {
				t.Run(strconv.Itoa(i), func(t *testing.T) {
					t.Parallel()
					// A log each: in one log every subscriber reads what all ten publish.
					log := open(t)
					newStage(t, func(*testing.T) eventstore.Store { return log }).suite(t)
				})
			}
		})
	}
}

// publisher appends messages as events, for the suite only.
type publisher struct{ k *kit }

func (p publisher) Close() error { return nil }

func (p publisher) Publish(topic string, messages ...*message.Message) error {
	stream := eventstore.Stream("test-" + strings.TrimPrefix(topic, "test."))
	for len(messages) > 0 {
		n := min(len(messages), eventstore.MaxBatch)
		b := eventstore.Batch{Stream: stream, Expected: eventstore.Any}
		for _, m := range messages[:n] {
			meta := eventstore.Meta{SchemaVersion: 1}
			if v := m.Metadata.Get("test"); v != "" {
				meta.Correlation = uuid.MustParse(v)
			}
			encoded, err := json.Marshal(meta)
			if err != nil {
				return err
			}
			b.Records = append(b.Records, eventstore.Record{
				ID: uuid.MustParse(m.UUID), Type: topic + "/1", Time: time.Now().UTC().Truncate(time.Microsecond),
				Meta: encoded, Clear: m.Payload,
			})
		}
		if _, err := p.k.store.Append(context.Background(), b); err != nil {
			return err
		}
		messages = messages[n:]
	}
	return nil
}

// correlating shows the correlation under the name the suite gave it.
type correlating struct{ *Subscriber }

func (c *correlating) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	in, err := c.Subscriber.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	c.running.Go(func() {
		defer close(out)
		for m := range in {
			if v := m.Metadata.Get(MetaCorrelation); v != "" {
				m.Metadata.Set("test", v)
			}
			select {
			case out <- m:
			case <-m.Context().Done(): // closed meanwhile
			}
		}
	})
	return out, nil
}
