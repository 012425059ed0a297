package vault

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"coffre/domain"
	"coffre/handlers/api"
	"coffre/handlers/contract"
	"coffre/handlers/reactors/broker"
	"coffre/handlers/reactors/ebox"
)

// BrokersConfig says which organisations are told through brokers. It is read from a file;
// secrets lie in others, which the file names.
type BrokersConfig struct {
	Links []BrokerLink `json:"links"`

	// Dev allows connections to this machine that are not encrypted, for trying out.
	Dev bool `json:"-"`
}

// BrokerLink is one organisation's way through one broker: one of NATS, AMQP and Outbox is set.
type BrokerLink struct {
	Name          string                `json:"name"`
	Role          domain.Role           `json:"role"`
	Organisation  domain.Organisation   `json:"organisation"`
	Types         []contract.SignalType `json:"types"`
	DocumentTypes []domain.DocumentType `json:"documentTypes"`
	Sources       []domain.Organisation `json:"sources"`
	Begin         string                `json:"begin"` // "now", also when it is "", or "kept"

	NATS *struct {
		URL             string `json:"url"`
		Subject         string `json:"subject"`
		CredentialsFile string `json:"credentialsFile"`
		User            string `json:"user"`
		PasswordFile    string `json:"passwordFile"`
		CAFile          string `json:"caFile"`
	} `json:"nats"`
	AMQP *struct {
		URL          string `json:"url"`
		Exchange     string `json:"exchange"`
		RoutingKey   string `json:"routingKey"`
		User         string `json:"user"`
		PasswordFile string `json:"passwordFile"`
		CAFile       string `json:"caFile"`
	} `json:"amqp"`
	Outbox *struct {
		DSNFile string `json:"dsnFile"`
		Schema  string `json:"schema"`
		Table   string `json:"table"`
	} `json:"outbox"`
}

const (
	// maxBrokersConfig bounds the file of the configuration.
	maxBrokersConfig = 256 << 10
	// brokerFailing is how long a link may wait before the vault's health says so.
	brokerFailing = 5 * time.Minute
)

var (
	errBrokersConfig = errors.New("the configuration of brokers is one JSON object with links, each with name, role, organisation, one of nats, amqp and outbox, and perhaps types, documentTypes, sources, begin (docs/brokers.md)")
	errBrokerPlain   = errors.New("is reached by tls:// or amqps://; with --dev, at an address of this machine, also without encryption")
	errBrokerUser    = errors.New("has a user or a password in its address: they belong in user and passwordFile")

	subjectName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	tableName   = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,56}$`) // an index has five characters more
)

// ReadBrokersConfig reads the file that says through which brokers organisations are told, and the
// files that it names to see that they are there. Its errors name a link, and quote nothing else.
func ReadBrokersConfig(path string, dev bool) (*BrokersConfig, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("configuration of brokers: %w", err)
	}
	if info.Size() > maxBrokersConfig {
		return nil, errBrokersConfig
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration of brokers: %w", err)
	}
	c := BrokersConfig{Dev: dev}
	if err := json.Unmarshal(b, &c, json.RejectUnknownMembers(true)); err != nil || len(c.Links) == 0 {
		return nil, errBrokersConfig
	}
	for i, l := range c.Links {
		if _, err := l.connect(dev); err != nil {
			return nil, fmt.Errorf("link %d of the configuration of brokers: %w", i+1, err)
		}
	}
	return &c, nil
}

// connect returns what connects to the link's broker.
func (l BrokerLink) connect(dev bool) (func(context.Context) (broker.Publisher, error), error) {
	if l.Role != domain.RoleConsumer && l.Role != domain.RoleIssuer || l.Organisation.IsZero() || l.Begin != "" && l.Begin != "now" && l.Begin != "kept" {
		return nil, errBrokersConfig
	}
	switch {
	case l.NATS != nil && l.AMQP == nil && l.Outbox == nil:
		o := broker.NATSOptions{URL: l.NATS.URL, Subject: l.NATS.Subject, Credentials: l.NATS.CredentialsFile, User: l.NATS.User}
		if !subjectName.MatchString(o.Subject) {
			return nil, errors.New("nats has a subject of A-Z, a-z, 0-9, _ and -, with dots between")
		}
		if o.Credentials != "" {
			if _, err := os.Stat(o.Credentials); err != nil {
				return nil, fmt.Errorf("credentials: %w", err)
			}
		}
		var err error
		o.TLS, o.Password, err = reached(o.URL, "tls", "nats", dev, l.NATS.CAFile, l.NATS.User, l.NATS.PasswordFile)
		return broker.NATS(o), err
	case l.AMQP != nil && l.NATS == nil && l.Outbox == nil:
		o := broker.AMQPOptions{URL: l.AMQP.URL, Exchange: l.AMQP.Exchange, Key: l.AMQP.RoutingKey, User: l.AMQP.User}
		if o.Exchange == "" || o.User == "" || o.Key != "" && !subjectName.MatchString(o.Key) {
			return nil, errors.New("amqp has exchange, user, passwordFile, and perhaps routingKey of A-Z, a-z, 0-9, _ and -, with dots between")
		}
		var err error
		o.TLS, o.Password, err = reached(o.URL, "amqps", "amqp", dev, l.AMQP.CAFile, l.AMQP.User, l.AMQP.PasswordFile)
		return broker.AMQP(o), err
	case l.Outbox != nil && l.NATS == nil && l.AMQP == nil:
		o := broker.OutboxOptions{Schema: l.Outbox.Schema, Table: l.Outbox.Table}
		if o.Schema == "" {
			o.Schema = "public"
		}
		if !tableName.MatchString(o.Schema) || !tableName.MatchString(o.Table) {
			return nil, errors.New("outbox has dsnFile, table, and perhaps schema, of a-z, 0-9 and _")
		}
		var err error
		if o.DSN, err = ebox.ReadSecret(l.Outbox.DSNFile); err != nil {
			return nil, err
		}
		return broker.Outbox(o), nil
	}
	return nil, errBrokersConfig
}

// reached judges a broker's address and returns how it is reached: the encryption, nil for none,
// and the password.
func reached(raw, encrypted, plain string, dev bool, caFile, user, passwordFile string) (*tls.Config, string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, "", errors.New("the broker's address has a scheme and a host, and no query")
	}
	if u.User != nil {
		return nil, "", errBrokerUser
	}
	var password string
	if user != "" {
		if password, err = ebox.ReadSecret(passwordFile); err != nil {
			return nil, "", err
		}
	}
	switch u.Scheme {
	case encrypted:
		c := &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
		if caFile != "" {
			if c.RootCAs, err = Trusted(caFile); err != nil {
				return nil, "", fmt.Errorf("certificates to trust: %w", err)
			}
		}
		return c, password, nil
	case plain:
		if dev && onLoopback(u.Hostname()) {
			return nil, password, nil
		}
	}
	return nil, "", errBrokerPlain
}

// openBrokers makes what tells organisations through brokers, where that is configured.
func (a *assembly) openBrokers(ctx context.Context) error {
	if a.o.Brokers == nil {
		return nil
	}
	filters := map[string]api.Subscription{}
	o := broker.Options{DB: a.places.reactors, Logger: a.o.Logger, Tracer: a.tracer}
	for _, l := range a.o.Brokers.Links {
		connect, err := l.connect(a.o.Brokers.Dev)
		if err != nil {
			return err
		}
		filters[l.Name] = api.Subscription{Role: l.Role, Organisation: l.Organisation, Filter: l.filter()}
		o.Links = append(o.Links, broker.Link{Name: l.Name, Role: l.Role, Organisation: l.Organisation, Kept: l.Begin == "kept", Connect: connect})
	}
	o.Next = func(ctx context.Context, l broker.Link, after int64, limit int) ([]broker.Signal, int64, error) {
		all, last, err := a.Core.SignalsFor(ctx, filters[l.Name], after, limit)
		told := make([]broker.Signal, 0, len(all))
		for _, one := range all {
			told = append(told, broker.Signal(one))
		}
		return told, last, err
	}
	o.Last = func(ctx context.Context, l broker.Link) (int64, error) {
		return a.Core.Signals.Last(ctx, l.Role, l.Organisation)
	}
	var err error
	a.brokers, err = broker.New(ctx, o)
	return err
}

// checkBrokers refuses links of organisations, and with words, that the registry in force does not
// have: such a link would tell nothing, and nobody would see why.
func (a *assembly) checkBrokers(context.Context) error {
	if a.o.Brokers == nil || a.brokers == nil {
		return nil
	}
	for _, l := range a.o.Brokers.Links {
		if _, known := a.Core.Words.Current().Organisation(l.Organisation); !known {
			return fmt.Errorf("link %q to a broker: the registry does not have its organisation", l.Name)
		}
		if err := a.Core.CheckSignalFilter(l.filter()); err != nil {
			return fmt.Errorf("link %q to a broker: %w", l.Name, err)
		}
	}
	return nil
}

func (l BrokerLink) filter() api.SubscriptionFilter {
	return api.SubscriptionFilter{Types: l.Types, DocumentTypes: l.DocumentTypes, Sources: l.Sources}
}

// waitingLinks returns the names of links to brokers that have waited for some minutes.
func (v *Instance) waitingLinks(ctx context.Context) (string, error) {
	if v.brokers == nil {
		return "", nil
	}
	all, err := v.brokers.States(ctx)
	if err != nil {
		return "", err
	}
	all = slices.DeleteFunc(all, func(s broker.State) bool { return s.Failing.IsZero() || time.Since(s.Failing) < brokerFailing })
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.Name + " (" + s.Reason + ")"
	}
	return strings.Join(names, ", "), nil
}
