package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/rabbitmq/amqp091-go"
)

// AMQPOptions say how to reach a broker of AMQP 0.9.1. URL and Exchange are required.
type AMQPOptions struct {
	URL string // amqps://host:port/virtual-host, without user and password
	// Exchange takes the messages; the vault makes none. The routing key is Key, a dot and the
	// event's type without the vault's name.
	Exchange, Key  string
	User, Password string
	TLS            *tls.Config
}

var (
	errUnroutable = errors.New("broker: no queue takes the message")
	errNotKept    = errors.New("broker: the broker does not keep the message")
)

// AMQP returns what connects to a broker of AMQP 0.9.1. A message is persistent, carries the
// event's id as its message id, and counts as published when the broker confirmed it and at least
// one queue took it.
func AMQP(o AMQPOptions) func(context.Context) (Publisher, error) {
	return func(ctx context.Context) (Publisher, error) {
		config := amqp091.Config{
			TLSClientConfig: o.TLS, Dial: amqp091.DefaultDial(tryTimeout), Heartbeat: 10 * time.Second, Locale: "en_US",
			SASL:       []amqp091.Authentication{&amqp091.PlainAuth{Username: o.User, Password: o.Password}},
			Properties: amqp091.Table{"connection_name": "coffre"},
		}
		c, err := amqp091.DialConfig(o.URL, config)
		if err != nil {
			return nil, err
		}
		channel, err := c.Channel()
		if err == nil {
			err = channel.Confirm(false)
		}
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		return &amqpPublisher{o: o, connection: c, channel: channel, returned: channel.NotifyReturn(make(chan amqp091.Return, 1))}, nil
	}
}

// amqpPublisher implements Publisher, for one caller at a time.
type amqpPublisher struct {
	o          AMQPOptions
	connection *amqp091.Connection
	channel    *amqp091.Channel
	returned   chan amqp091.Return // what no queue took; it comes before the confirmation
}

// Publish implements Publisher.
func (p *amqpPublisher) Publish(topic string, all ...*message.Message) error {
	if p.o.Key != "" {
		topic = p.o.Key + "." + topic
	}
	for _, m := range all {
		sent, err := p.channel.PublishWithDeferredConfirmWithContext(m.Context(), p.o.Exchange, topic, true, false, amqp091.Publishing{
			ContentType: contentType, DeliveryMode: amqp091.Persistent, MessageId: m.UUID, AppId: "coffre", Body: m.Payload,
		})
		if err != nil {
			return err
		}
		kept, err := sent.WaitContext(m.Context())
		if err != nil {
			return err
		}
		select {
		case _, open := <-p.returned:
			if open {
				return errUnroutable
			}
		default:
		}
		if !kept {
			return errNotKept
		}
	}
	return nil
}

// Close implements Publisher.
func (p *amqpPublisher) Close() error { return p.connection.Close() }

// isAccessRefused reports whether the broker refuses the user, or what the user asked.
func isAccessRefused(err error) bool {
	var told *amqp091.Error
	return errors.As(err, &told) && told.Code == amqp091.AccessRefused || errors.Is(err, amqp091.ErrCredentials) || errors.Is(err, amqp091.ErrSASL)
}
