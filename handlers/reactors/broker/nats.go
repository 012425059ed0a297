package broker

import (
	"context"
	"crypto/tls"

	watermillnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
)

// NATSOptions say how to reach NATS JetStream. URL and Subject are required.
type NATSOptions struct {
	URL string
	// Subject begins the subjects: behind it and a dot stands the event's type without the vault's
	// name. A stream of JetStream must hold them; the vault makes none.
	Subject     string
	Credentials string      // file of NATS credentials; "": none
	User        string      // instead of Credentials; "": none
	Password    string      // of User
	TLS         *tls.Config // nil: as the URL's scheme says, with the system's roots
}

// NATS returns what connects to JetStream. Messages carry the event's id as Nats-Msg-Id, so that
// JetStream keeps each once within its window for duplicates.
func NATS(o NATSOptions) func(context.Context) (Publisher, error) {
	return func(context.Context) (Publisher, error) {
		options := []nats.Option{nats.Name("coffre"), nats.Timeout(tryTimeout), nats.NoReconnect()}
		switch {
		case o.Credentials != "":
			options = append(options, nats.UserCredentials(o.Credentials))
		case o.User != "":
			options = append(options, nats.UserInfo(o.User, o.Password))
		}
		if o.TLS != nil {
			options = append(options, nats.Secure(o.TLS))
		}
		p, err := watermillnats.NewPublisher(watermillnats.PublisherConfig{
			URL: o.URL, NatsOptions: options, Marshaler: natsForm{},
			JetStream: watermillnats.JetStreamConfig{ConnectOptions: []nats.JSOpt{nats.MaxWait(tryTimeout)}},
		}, nil)
		if err != nil {
			return nil, err
		}
		return natsSubject{p, o.Subject}, nil
	}
}

// natsSubject puts the link's subject before the topic.
type natsSubject struct {
	message.Publisher
	prefix string
}

// Publish implements Publisher.
func (n natsSubject) Publish(topic string, all ...*message.Message) error {
	return n.Publisher.Publish(n.prefix+"."+topic, all...)
}

// natsForm writes an event as CloudEvents' structured mode for NATS says.
type natsForm struct{}

// Marshal implements the marshaler of Watermill's publisher.
func (natsForm) Marshal(subject string, m *message.Message) (*nats.Msg, error) {
	return &nats.Msg{Subject: subject, Data: m.Payload, Header: nats.Header{
		nats.MsgIdHdr:  {m.UUID},
		"Content-Type": {contentType},
	}}, nil
}
