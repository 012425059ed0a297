package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rabbitmq/amqp091-go"

	"coffre/eventstore/postgres/pgdb"
	"coffre/eventstore/postgres/pgtest"
)

// received is what a consumer sees of a message.
type received struct{ id, topic, body, contentType string }

// broker is one that runs, with a consumer.
type broker struct {
	connect func(context.Context) (Publisher, error)
	read    func(t *testing.T, n int) []received
	once    bool // it keeps an id once
	// nobody, stranger and away connect where nothing keeps messages, with a wrong password, and to
	// where nothing listens.
	nobody, stranger, away func(context.Context) (Publisher, error)
}

// theContract is what every broker's publisher promises.
func theContract(t *testing.T, open func(t *testing.T) broker) {
	body := func(i int) string {
		return fmt.Sprintf(`{"type":"be.coffre.vault.v1.documents.notify.revoked","n":%d}`, i)
	}
	send := func(t *testing.T, p Publisher, id uuid.UUID, body string) error {
		t.Helper()
		m := message.NewMessage(id.String(), []byte(body))
		ctx, cancel := context.WithTimeout(t.Context(), tryTimeout)
		defer cancel()
		m.SetContext(ctx)
		return p.Publish("documents.notify.revoked", m)
	}
	connected := func(t *testing.T, b broker) Publisher {
		t.Helper()
		p, err := b.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p
	}
	t.Run("messages arrive in order, each under its event's id", func(t *testing.T) {
		b := open(t)
		p := connected(t, b)
		var want []received
		for i := range 50 {
			id := uuid.New()
			if err := send(t, p, id, body(i)); err != nil {
				t.Fatal(err)
			}
			want = append(want, received{id.String(), "documents.notify.revoked", body(i), contentType})
		}
		for i, got := range b.read(t, 50) {
			if got != want[i] {
				t.Fatalf("message %d is %+v, want %+v", i, got, want[i])
			}
		}
	})
	t.Run("a repetition is kept once, or has the same id", func(t *testing.T) {
		b := open(t)
		id := uuid.New()
		for range 2 { // by two connections, as after the end of a process
			if err := send(t, connected(t, b), id, body(1)); err != nil {
				t.Fatal(err)
			}
		}
		last := uuid.New()
		if err := send(t, connected(t, b), last, body(2)); err != nil {
			t.Fatal(err)
		}
		want := []string{id.String(), last.String()}
		if !b.once {
			want = []string{id.String(), id.String(), last.String()}
		}
		for i, got := range b.read(t, len(want)) {
			if got.id != want[i] {
				t.Errorf("message %d has id %s, want %s", i, got.id, want[i])
			}
		}
	})
	for name, c := range map[string]struct {
		of    func(broker) func(context.Context) (Publisher, error)
		class string
	}{
		"where nothing keeps messages none counts as published": {func(b broker) func(context.Context) (Publisher, error) { return b.nobody }, "nobodyKeepsIt"},
		"a wrong password is told":                              {func(b broker) func(context.Context) (Publisher, error) { return b.stranger }, "refused"},
		"a broker that is away is told":                         {func(b broker) func(context.Context) (Publisher, error) { return b.away }, "unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			connect := c.of(open(t))
			if connect == nil { // this broker has no such thing
				return
			}
			p, err := connect(t.Context())
			if err == nil {
				defer p.Close()
				err = send(t, p, uuid.New(), body(1))
			}
			var f failure
			if err == nil || !errors.As(classified(err), &f) || f.class != c.class {
				t.Errorf("it answers %v, class %q, want %q", err, f.class, c.class)
			}
			if text := fmt.Sprint(classified(err)); strings.Contains(text, "wrong-password") {
				t.Errorf("the error says %q", text)
			}
		})
	}
}

const subject = "coffre.0308357159"

// nothingListens is an address of this machine at which nothing does.
func nothingListens(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestNATSKeepsTheContract(t *testing.T) {
	theContract(t, func(t *testing.T) broker {
		s, err := server.NewServer(&server.Options{
			Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, NoLog: true, NoSigs: true,
			Username: "coffre", Password: "secret",
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		if !s.ReadyForConnections(time.Minute) {
			t.Fatal("the server does not start")
		}
		at := NATSOptions{URL: s.ClientURL(), Subject: subject, User: "coffre", Password: "secret"}
		c, err := nats.Connect(at.URL, nats.UserInfo(at.User, at.Password))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		js, err := c.JetStream()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.AddStream(&nats.StreamConfig{Name: "COFFRE", Subjects: []string{subject + ".>"}}); err != nil {
			t.Fatal(err)
		}
		nobody, stranger, away := at, at, at
		nobody.Subject, stranger.Password, away.URL = "elsewhere", "wrong-password", "nats://"+nothingListens(t)
		return broker{
			connect: NATS(at), once: true, nobody: NATS(nobody), stranger: NATS(stranger), away: NATS(away),
			read: func(t *testing.T, n int) (all []received) {
				sub, err := js.SubscribeSync(subject+".>", nats.OrderedConsumer())
				if err != nil {
					t.Fatal(err)
				}
				for range n {
					m, err := sub.NextMsg(time.Minute)
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, received{m.Header.Get(nats.MsgIdHdr), strings.TrimPrefix(m.Subject, subject+"."), string(m.Data), m.Header.Get("Content-Type")})
				}
				return all
			},
		}
	})
}

func TestTheOutboxKeepsTheContract(t *testing.T) {
	theContract(t, func(t *testing.T) broker {
		dsn := pgtest.Shared(t).Database(t)
		at := OutboxOptions{DSN: dsn, Schema: "public", Table: "coffre_events"}
		away := at
		away.DSN = "postgres://coffre:wrong-password@" + nothingListens(t) + "/coffre?sslmode=disable"
		return broker{
			connect: Outbox(at), once: true, away: Outbox(away),
			read: func(t *testing.T, n int) (all []received) {
				db, err := pgdb.Open(dsn, pgdb.Options{Schema: "public"})
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				rows, err := db.QueryContext(t.Context(), `SELECT uuid, metadata->>'type', payload::text, metadata->>'contentType' FROM coffre_events ORDER BY transaction_id, "offset"`)
				if err != nil {
					t.Fatal(err)
				}
				defer rows.Close()
				for rows.Next() {
					var r received
					if err := rows.Scan(&r.id, &r.topic, &r.body, &r.contentType); err != nil {
						t.Fatal(err)
					}
					r.topic = strings.TrimPrefix(r.topic, serviceName)
					all = append(all, r)
				}
				if rows.Err() != nil || len(all) != n {
					t.Fatalf("%d rows, want %d; %v", len(all), n, rows.Err())
				}
				return all
			},
		}
	})
}

// amqpServer names a broker of AMQP 0.9.1 by its address, as amqp://user:password@host:port/; with it
// that broker runs the contract. deploy/interop/brokers/run starts RabbitMQ and sets it.
var amqpServer = os.Getenv("COFFRE_TEST_AMQP")

func TestAMQPKeepsTheContract(t *testing.T) {
	if amqpServer == "" {
		testAMQPWithoutServer(t)
		return
	}
	u, err := amqp091.ParseURI(amqpServer)
	if err != nil {
		t.Fatal(err)
	}
	theContract(t, func(t *testing.T) broker {
		c, err := amqp091.Dial(amqpServer)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		channel, err := c.Channel()
		if err != nil {
			t.Fatal(err)
		}
		exchange := "coffre-" + uuid.NewString()
		queue, err := channel.QueueDeclare("", true, true, true, false, nil)
		if err == nil {
			err = channel.ExchangeDeclare(exchange, "topic", true, true, false, false, nil)
		}
		if err == nil {
			err = channel.QueueBind(queue.Name, subject+".#", exchange, false, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		at := AMQPOptions{URL: fmt.Sprintf("amqp://%s:%d/", u.Host, u.Port), Exchange: exchange, Key: subject, User: u.Username, Password: u.Password}
		nobody, stranger, away := at, at, at
		nobody.Key, stranger.Password, away.URL = "elsewhere", "wrong-password", "amqp://"+nothingListens(t)+"/"
		return broker{
			connect: AMQP(at), nobody: AMQP(nobody), stranger: AMQP(stranger), away: AMQP(away),
			read: func(t *testing.T, n int) (all []received) {
				messages, err := channel.Consume(queue.Name, "", true, true, false, false, nil)
				if err != nil {
					t.Fatal(err)
				}
				for range n {
					m := <-messages
					all = append(all, received{m.MessageId, strings.TrimPrefix(m.RoutingKey, subject+"."), string(m.Body), m.ContentType})
				}
				return all
			},
		}
	})
}

// testAMQPWithoutServer is what can be seen where no broker runs.
func testAMQPWithoutServer(t *testing.T) {
	_, err := AMQP(AMQPOptions{URL: "amqp://" + nothingListens(t) + "/", Exchange: "coffre", User: "coffre", Password: "wrong-password"})(t.Context())
	var f failure
	if err == nil || !errors.As(classified(err), &f) || f.class != "unreachable" {
		t.Errorf("a broker that is away answers %v", err)
	}
}

// TestBrokersMustProveWhoTheyAre: a server whose certificate nobody trusts hears nothing.
func TestBrokersMustProveWhoTheyAre(t *testing.T) {
	own := httptest.NewTLSServer(nil)
	defer own.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: own.TLS.Certificates, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan int, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 1)
			n, _ := c.Read(b) // the handshake fails
			heard <- n
			c.Close()
		}
	}()
	_, err = AMQP(AMQPOptions{URL: "amqps://" + l.Addr().String() + "/", Exchange: "coffre", User: "coffre", Password: "secret", TLS: &tls.Config{ServerName: "broker.example", MinVersion: tls.VersionTLS12}})(t.Context())
	var f failure
	if err == nil || !errors.As(classified(err), &f) || f.class != "tls" {
		t.Errorf("an untrusted broker answers %v, class %q", err, f.class)
	}
	if n := <-heard; n != 0 {
		t.Error("an untrusted broker heard something")
	}
}
